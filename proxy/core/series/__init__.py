"""What an answer about series proves, and how others are computed from it, byte for byte. `extents` has the theory.

- `metrics_query` is a question taken apart; `sampling` is the upstream's rule.
- `answers` takes an answer apart into `extents`, and `growth` adds to these what later answers tell.
- `known_series` is what is known of one question; from it an answer is computed.
- `deltas` plans the calls for what is new, `windows` those for a series that one answer cannot hold, `expecting` learns whether
  a run's other series will be looked at.
- `packs` is how extents are laid out on disk.
"""
