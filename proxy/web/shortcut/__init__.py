"""shortcut."""
