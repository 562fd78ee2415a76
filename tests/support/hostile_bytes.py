"""Requests as hostile clients write them."""

from tests.support.world import METRICS

LINE = f"GET {METRICS}?runId=1&projectName=demo HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode()
CASES: dict[str, bytes] = {
    "a body on GET": LINE + b"Content-Length: 5\r\n\r\nhello",
    "a chunked body on GET": LINE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "length and chunks": LINE + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": LINE + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a negative length": LINE + b"Content-Length: -1\r\n\r\n",
    "a length with a sign": LINE + b"Content-Length: +5\r\n\r\nhello",
    "an unknown coding": LINE + b"Transfer-Encoding: xchunked\r\n\r\n",
    "a bad chunk": LINE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "obs-fold": LINE + b"X-A: b\r\n c\r\n\r\n",
    "a bare CR in a field": LINE + b"X-A: b\rX-B: c\r\n\r\n",
    "NUL in a field": LINE + b"X-A: b\0c\r\n\r\n",
    "a space before the colon": LINE + b"X-A : b\r\n\r\n",
    "NUL in the target": b"GET /api/runs/metrics?runId=1\0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "CR LF in a parameter": b"GET /api/runs/metrics?runId=1%0d%0aX:1&projectName=p HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "NUL in a parameter": b"GET /api/runs/metrics?runId=1&projectName=%00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "10,000 parameters": b"GET /api/runs/metrics?" + b"a=1&" * 10_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a URL of 1 MB": b"GET /" + b"a" * 2**20 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a field of 1 MB": LINE + b"X-A: " + b"a" * 2**20 + b"\r\n\r\n",
    "100,000 fields": LINE + b"X-A: b\r\n" * 100_000 + b"\r\n",
    "fields of 1 MB together": LINE + (b"X-A: " + b"a" * 8_000 + b"\r\n") * 120 + b"\r\n",
    "fields of 40 kB together": LINE + (b"X-A: " + b"a" * 8_000 + b"\r\n") * 5 + b"\r\n",
    "fields of 1 MB together that never end": LINE + (b"X-A: " + b"a" * 8_000 + b"\r\n") * 120,
    "a body of 20 MB on GET": LINE + b"Content-Length: 20000000\r\n\r\n" + b"a" * 20_000_000,
    "a body of 100,000 chunks on GET": LINE + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 100_000,
    "a tunnel": b"CONNECT example.com:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + b"a" * 2**20,
    "thousands of requests": b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 5_000,
    "no line end in 1 MB": b"a" * 2**20,
    "two hosts": LINE + b"Host: 127.0.0.1\r\n\r\n",
}
