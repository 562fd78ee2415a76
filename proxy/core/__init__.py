"""What a query means and how old an answer may be: pure functions and frozen values.

Nothing in here does I/O, reads a clock, logs, or knows that asyncio exists; the time comes in as an argument.
"""
