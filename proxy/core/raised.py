"""What an error that was raised holds on to, and how to let go of it.

An error holds the frames that it went through, and the errors that it arose from with theirs; frames hold what was in them,
such as the body of an answer. So what is kept of an error, or handed from one task to others, is never the error that was
raised: it would keep all of that for as long, and gain the frames of each who raises it again.
"""

from typing import TypeVar

from proxy.errors import ProxyError

E = TypeVar("E", bound=ProxyError)


def unraised(error: E) -> E:
    """Return the same error once more, which was never raised: to be kept, or to be raised by somebody else."""
    copy = type(error).__new__(type(error), *error.args)
    copy.__dict__.update(error.__dict__)
    return copy


def drop_frames(error: BaseException) -> None:
    """Take from an error the frames that it went through so far, and from those that it arose from theirs.

    That breaks the circles as well, in which frames hold the very error that holds them: of those nothing is let go before the
    garbage collector comes round. What the error says stays.
    """
    left = [error]
    while left:
        one = left.pop()
        left += [other for other in (one.__context__, one.__cause__) if other is not None]
        one.__traceback__ = one.__context__ = one.__cause__ = None
