"""Errors that are kept, or handed from one task to others.

An error that was raised holds the frames that it went through, and the errors that it arose from with their frames. Frames hold
their variables, such as the body of an answer. So an error that was raised is never kept or handed on itself: it would keep all
of that alive, and gain the frames of everybody who raises it again.
"""

from typing import TypeVar

from proxy.errors import ProxyError

E = TypeVar("E", bound=ProxyError)


def unraised(error: E) -> E:
    """Return a copy of an error that was never raised, to be kept or to be raised by somebody else."""
    copy = type(error).__new__(type(error), *error.args)
    copy.__dict__.update(error.__dict__)
    return copy


def drop_frames(error: BaseException) -> None:
    """Remove the frames that an error went through so far, and the errors that it arose from with their frames.

    That also breaks the circles of frames that hold the error that holds them, which only the garbage collector would free. The
    error's message stays.
    """
    left = [error]
    while left:
        one = left.pop()
        left += [other for other in (one.__context__, one.__cause__) if other is not None]
        one.__traceback__ = one.__context__ = one.__cause__ = None
