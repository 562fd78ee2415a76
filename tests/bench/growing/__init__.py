"""Live series of up to millions of rows, none of which is held: an upstream that has them, and what tells its answers right."""
