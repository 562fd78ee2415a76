"""TLS by the proxy itself."""
