"""The documentation: what it says of the code is so, and its links lead somewhere."""
