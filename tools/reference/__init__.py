"""The reference, made from the code: `make reference` writes docs/reference and config/pluto-proxy.toml.

`pages` lists the files, each made by a module of its own. `docstrings` finds what stands beside attributes, and `markdown` sets
it. `tests/docs/test_reference.py` compares what is in the repository with what would be written.
"""
