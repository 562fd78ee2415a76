"""HTTP toward pluto-api: the only room that uses aiohttp's client, and the only one that holds the shared key.

| file | subject |
|---|---|
| `client` | the room's face: a query waits for the budget, is sent, judged, and sent again where that may help |
| `turnstile` | the wait: when the budget lets a call go |
| `exchange` | one HTTP exchange |
| `reply` | what a reply's status and body mean: an answer, or which error |
| `credential`, `refusal` | the shared key; whether the upstream refuses it |
| `wire` | a request's bytes on a connection, and the response as it comes |
| `pool`, `resolver` | the connections; looking up the upstream's address |
| `tls`, `forwarding` | which certificates are accepted; what the forward proxy on the way is told |
| `coding`, `stall` | decompressing a body; ending a body that stands still |
| `failures` | what a failed call failed of, in words without secrets |
"""
