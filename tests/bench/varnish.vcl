# Questions with the same parameters are one object, whatever their order. Varnish by itself makes one call for all who wait
# for an object, and within the grace hands out the stale one while it makes one in the background.
vcl 4.1;

import std;

backend default {
    .host = "127.0.0.1";
    .port = "@upstream@";
}

sub vcl_recv {
    if (req.method != "GET" && req.method != "HEAD") {
        return (synth(405));
    }
    # With either of them the built-in rules would pass everything by.
    unset req.http.Authorization;
    unset req.http.Cookie;
    set req.url = std.querysort(req.url);
    return (hash);
}

sub vcl_hash {
    # Each coding is an object of its own.
    hash_data(req.http.Accept-Encoding);
}

sub vcl_backend_fetch {
    set bereq.http.Authorization = "Bearer @key@";
    set bereq.http.Bench-Compress = "yes";
}

sub vcl_backend_response {
    unset beresp.http.Set-Cookie;
    if (beresp.status == 200) {
        set beresp.ttl = @fresh_s@s;
        set beresp.grace = @stale_s@s;
        set beresp.keep = 0s;
    }
}
