"""How old an answer is, and what may be done with it then. The time comes in as an argument.

- An `entry` is a stored answer; a `namespace` says whose data it is.
- `lifetimes` say how long answers live, a `verdict` what may be done with one at its age, `directives` what a request demands.
- `plan` is the table that decides: serve, fetch, or serve and refresh. An `outcome` is how that is told to the client.
- `purge` says what of all that is kept, or still on its way, was taken away.
"""
