"""HTTP's own rules: content codings (`coding`, `negotiation`), entity tags (`validators`), and `Retry-After`."""
