"""Mutants of the shortcut: each is one fault that its tests must catch (`python -m tests.mutants`)."""
