"""How old an answer is, and what may be done with it then. The time comes in as an argument.

- `entry`: a stored answer. `namespace`: which upstream and organization it belongs to.
- `lifetimes`: how long the answers of a route live. `verdict`: what may be done with an answer at its age. `directives`: what a
  request demands.
- `plan`: the table that decides to serve, to fetch, or to serve and refresh. `outcome`: how the client is told of that.
- `purge`: what was purged, and what that takes of all that is stored or still on its way.
"""
