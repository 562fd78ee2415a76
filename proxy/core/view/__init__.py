"""What charts draw of a series: its rows reduced to buckets on a fixed grid of steps, exactly.

- `blocks` cuts a series into blocks of rows that keep their names while it grows; `version` is made of these names.
"""
