"""How long answers live. A route has its lifetimes; those of a run that is known to have ended are longer.

`run_lifetimes` says which lifetimes hold for a query. It uses `known_runs` (which runs have ended, and when it is time to ask
again), `sightings` (since when series have been seen to stand still) and `configured` (what the configuration says). Nothing in
here asks the upstream: other rooms do, and note here what they learn.
"""
