"""Who may ask for what: decisions only.

- `grants` judges a question for a token, `projects` reads from a body which projects it is about.
- `networks` says where a request comes from, `client_rates` how often a client may ask.
- `key` says what a key of pluto-api looks like, `validity` from when to when a certificate is good.
"""
