"""What is known of series: the extents that the upstream's answers told.

`shelves` has them in memory, by scope, and `pack_files` in the cache file. `learner` adds what answers tell. Nobody in here
asks anything.
"""
