"""What an answer about series proves, and how others are computed from it, byte for byte. `extents` has the theory.

- `metrics_query` is a question taken apart; `sampling` is the upstream's rule.
- `answers` takes an answer apart into `extents`; `recipes` says how another answer is computed from them.
- `growth` adds to extents what later answers tell; `joining` puts extents of several names or windows together.
- `known_series` is what is known of one question at one look.
- `deltas` plans the calls for what is new, `windows` those for a series that one answer cannot hold. `expecting` learns whether
  the other series of a run will be asked for.
- `packs` lays extents out for the disk.
"""
