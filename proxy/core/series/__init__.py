"""What an answer about series proves, and how others are computed from it, byte for byte. `extents` has the theory.

- `metrics_query` is a question taken apart; `sampling` is the upstream's rule.
- `answers` takes an answer apart into `extents`; `recipes` says how another answer is computed from them.
- `growth` adds to extents what later answers tell; `joining` puts extents of several names or windows together.
- `known_series` is what is known of one question at one look.
- `deltas` plans the calls for what is new. `expecting` learns whether the other series of a run will be asked for.
- Of a series that one answer cannot hold, `load_costs` says when it pays to load it, `windows` plans the calls for that, and
  `looks` says which stretch of it is to be looked at again. `rechecking` adds what such a look tells.
- `chunks` holds rows compactly, `long_rows` a long series in chunks; `compacting` makes chunks, `evicting` lets them leave
  memory.
- `packs` lays extents out for the disk, under a head (`heads`); `unpacking` reads them.
"""
