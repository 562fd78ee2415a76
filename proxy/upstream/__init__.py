"""HTTP toward pluto-api: the only room that names aiohttp's client, or holds the shared key.

- `client` asks a question: it waits at the `turnstile` for the budget, sends, judges, and tries again where that may help.
- `exchange` is one HTTP exchange, over the connections of `pool`; `reply` says what its status and body amount to.
- `credential` reads the shared key, and `refusal` knows whether the upstream refuses it.
- `tls`, `forwarding`, `resolver`, `coding`, `stall` and `failures` are what an exchange needs: whom to believe, a proxy on the
  way, names, compressed bodies, bodies that stand still, and errors in our own words.
"""
