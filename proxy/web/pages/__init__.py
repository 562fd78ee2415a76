"""Pages about the proxy itself: health, metrics, management, and the description of its surface."""
