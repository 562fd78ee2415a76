"""Approximate search in names: whether some part of a text is within a few edits of what is searched."""

_SHORT = 4


def is_near(search: str, text: str) -> bool:
    """One edit is forgiven below 4 characters, two from there on; case is none (ClickHouse's multiFuzzyMatchAny)."""
    edits = 1 if len(search.encode()) < _SHORT else 2
    return _distance(search.lower(), text.lower()) <= edits


def _distance(search: str, text: str) -> int:
    """The fewest insertions, deletions and replacements that make `search` a part of `text`."""
    costs = list(range(len(search) + 1))
    best = costs[-1]
    for character in text:
        above, costs[0] = costs[0], 0  # a match may begin anywhere
        for place, wanted in enumerate(search, 1):
            replaced = above + (character != wanted)
            above = costs[place]
            costs[place] = min(replaced, above + 1, costs[place - 1] + 1)
        best = min(best, costs[-1])
    return best
