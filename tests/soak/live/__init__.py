"""The live soak: many runs that grow, watched all the time within the proxy's own budget."""
