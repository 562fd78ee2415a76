"""How a query is answered.

From the top, each importing only what is below it:

- `answering` answers a query for a token; `purging` takes away what is known, everywhere at once.
- `access` says which tokens are good, and what they may see; `key_orders` puts the keys of answers in the order asked.
- `obtaining` has all of a series, for `view` and `watching`.
- `reader` has a query looked up (`lookup`) and decides; `executor` then serves, fetches or refreshes; `answer` is the outcome.
- `series` computes answers about metrics from what other queries brought, and asks the upstream so that it can. Its `asking` is
  the way of every query that needs the upstream.
- `proof` says whether answers may be computed from what the upstream said.
- `knowledge` is what is known of series; `statuses` learns which runs have ended.
- `fetching` asks the upstream, in a single flight for all who ask the same at the same time.
- `lifetimes` says how long answers live, by what is known of runs.
- `tenancy` says whose data the shared key reads.
"""
