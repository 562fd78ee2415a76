"""The read routes, one module a subject: each takes a request's parts to an answer, and knows nothing of the wire."""
