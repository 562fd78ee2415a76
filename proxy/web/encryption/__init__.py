"""TLS by the proxy itself: its certificate and key are read (`pair`), and read again when they change (`certificate`)."""
