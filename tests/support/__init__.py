"""What tests share.

A proxy and those around it: `world` (a proxy in front of a stand-in), `processes` (the same as processes), `wire` (bytes on
connections to it), `tokens` (a proxy with tokens), `pluto_client` (the upstream's own client), `secrecy` (the key never shows).

Upstreams: `oracle` says what the upstream's rule permits, `oracle_upstream` answers by it, `live_runs` lets rows come,
`broken_rules` breaks the rule; `raw_upstream` and `failing_bodies` send any bytes; `certificates` certifies them.

What is sent: `recordings`, `surrogates`, `hostile_bytes`. And `held_errors`: errors whose frames hold something.
"""
