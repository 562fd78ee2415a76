"""What holds for every test in here."""

from tests.support.secrecy import _the_key_never_shows

__all__ = ["_the_key_never_shows"]
