"""What a query means: every spelling of a question becomes one canonical text, which is the cache's key.

- `routes` is the read API as a table. A row says which parameters a route takes, and of which kind they are (`parameters`,
  `compound`; numbers by `ecmascript`).
- `form` takes a raw query string apart, and `query` makes a question of it by the row.
- `document` says which shape a route's answers have, `keeping` where they may be kept, `scope` how they are judged for tokens
  that are limited to projects.
"""
