-- What wrk prints at its end, for a program to read. No other function is defined: then wrk neither makes requests nor parses
-- answers in Lua.
done = function(summary, latency, _)
    local wrong = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
        + summary.errors.timeout
    io.write(string.format("finished %d %d %d %d %d %d\n", summary.requests, summary.duration, summary.bytes, wrong,
        latency:percentile(50), latency:percentile(99)))
end
