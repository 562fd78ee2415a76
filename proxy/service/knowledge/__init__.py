"""What is known of series: extents, made of the upstream's answers.

`shelves` has them in memory, by scope, and `pack_files` in the cache file. `learner` adds what answers tell. Nothing in here
asks the upstream.
"""
