"""A question's way: look up, judge, then serve, fetch or refresh."""
