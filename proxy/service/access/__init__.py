"""Who may ask, as far as judging that takes a file or the upstream.

`tokens` says which tokens are good, `scopes` what a token may see, `run_owners` whose a run is, `organizations`
whether a query is about the organization whose data there is.
"""
