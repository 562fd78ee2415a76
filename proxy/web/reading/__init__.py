"""What a request asks: its target, its query, and how fresh the answer must be."""
