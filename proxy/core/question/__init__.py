"""What a query means: every spelling of a question becomes one canonical text, which is the cache's key.

- `routes` is the read API as a table, `route` what a row of it says: among others which parameters it takes, and of which kind
  they are (`parameters`, `compound`; numbers by `ecmascript`).
- `form` takes a raw query string apart; `query` reads it into a question by the route's row.
- `document` says which shape a route's answers have, `keeping` where they may be kept, `scope` what they are about: by that a
  token that is limited to projects is judged.
"""
