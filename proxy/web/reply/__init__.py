"""What goes out: an answer as a response, an error as a document, a large body in chunks."""
