"""Who may ask, as far as that needs a file or the upstream: which tokens are good (`tokens`), what they may see (`scopes`)."""
