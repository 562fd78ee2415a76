"""Series that clients watch: read when it is time, by one watcher each, and everybody who watches is told of changes.

- `watching` knows which series are watched and by whom. It has what is due read, and
  numbers changes.
- `watched_series` is one series that is watched: its state, who watches it, and when it is read next.
- `looking` reads one series, as a panel would.
- `subscription` is what one client watches, and what it is still to be told.
- `values` has what a series is, and its state; `troubles` what clients are told of an upstream that fails.
"""
