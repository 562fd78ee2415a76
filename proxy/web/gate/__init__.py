"""Who may ask: networks and tokens, `Host`, origins of pages, methods, and how much one client may ask."""
