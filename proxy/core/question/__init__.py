"""What a query means: every spelling of a question becomes one canonical text, which is the cache's key.

- `routes` is the read API as a table, `route` what a row of it says: among others which parameters it takes, and of which kind
  they are (`parameters`, `compound`; numbers by `ecmascript`).
- `batch` reads the one parameter that says all about several runs and metrics; `sqids` reads the short ids of runs in it.
  `key_order` puts the keys of its answers in the order that a client asked.
- `form` takes a raw query string apart; `query` reads it into a question by the route's row.
- `shapes` says which shape a route's answers have, `keeping` where they may be kept, `subject` what they are about: by that a
  token that is limited to projects is judged.
"""
