"""What proves that an answer is whole, and that the upstream still follows the rule. `wholeness` has the theory.

- `wholeness` says what proves an answer, and which probes do.
- `limits` is what was seen lately of how much the upstream sends, and what was concluded from it.
- `stretch` finds the part of a series in which the rule can be told.
"""
