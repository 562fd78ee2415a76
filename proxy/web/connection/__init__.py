"""Connections: the HTTP server, how many connections there may be, and what of a request is taken in."""
