"""The soak of the shortcut: clients at full speed while all that ends a lease happens again and again."""
