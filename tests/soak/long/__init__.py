"""The long soak: one live series of up to millions of rows, watched by many panels and looked at closer all the time."""
