"""What the proxy's own charts ask for, beside the read API."""
