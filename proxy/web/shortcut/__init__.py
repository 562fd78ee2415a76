"""Hits that were answered before, answered again from what is remembered of them."""
