"""How texts, fields and runs are matched: the grammar of `filter`, field terms, SQL's patterns, approximate search."""
