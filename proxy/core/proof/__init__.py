"""What proves that an answer is whole, and that the upstream still follows its sampling rule.

The theory. `core.series.sampling` proves an answer complete by its limit. That proof needs an upstream that honours the limit
it was sent. A server that silently keeps to a smaller limit, of rows of a name, of all rows or of bytes, sends less, and the
answer looks the same. So an answer is trusted only as far as limits were seen honoured a moment ago. Three things prove that
nothing is missing from it, each in a file of its own:

- `sizes`: a larger answer was sent at the time.
- `probes`: the answer to the same question with a smaller limit agrees with what is computed from this one.
- `known_rows`: rows that were known before follow each other in this answer, too.

Three other files use these proofs:

- `limits` holds which sizes were seen lately, and what was concluded from them and is still to be confirmed.
- `loaded` puts long series together from windows, and says how what came together is checked.
- `stretch` finds a part of a series on which the sampling rule can be checked.

Nothing is concluded about an upstream that sends fewer than 3 rows. So an answer of at most 2 rows always counts as
whole (`sizes.FEW_ROWS`).
"""
