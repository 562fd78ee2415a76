"""HTTP toward the clients: what they may ask, and how an answer or an error is written."""
