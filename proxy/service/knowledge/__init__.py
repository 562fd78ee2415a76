"""What is known of series: extents, made of the upstream's answers.

`shelves` has them by selection: in `shelf_memory`, and by way of `pack_files` in the cache file, which `disk_reads` reads once
for all who wait. `chunk_uses` says which chunks of long series leave memory first. `learner` adds what answers tell. Nothing in
here asks the upstream.
"""
