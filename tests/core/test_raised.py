"""What is kept of an error says the same, and holds nothing."""

import traceback
import weakref

import pytest

from proxy.core.raised import drop_frames, unraised
from proxy.errors import (
    BadQuery,
    ClientLimited,
    Fault,
    MethodNotAllowed,
    ProxyError,
    Unauthorized,
    UpstreamBusy,
    UpstreamFailed,
)
from tests.support.held_errors import Body, raised

ERRORS = [
    UpstreamFailed("no", upstream_status=500, transient=True),
    UpstreamBusy("later", retry_after_s=2.5, upstream_status=429),
    BadQuery((Fault(parameter="a", message="b"), Fault(parameter="", message="c"))),
    ClientLimited("slower", policy="rate", retry_after_s=1),
    Unauthorized("who", given=True),
    MethodNotAllowed("no", allowed="GET"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_the_same_error_once_more(error: ProxyError) -> None:
    """Its kind, its text and all that belongs to it; nothing of where it was raised."""
    body = Body()
    raised(error, body)
    again = unraised(error)
    assert type(again) is type(error)
    assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))
    assert (again.__traceback__, again.__context__, again.__cause__) == (None, None, None)
    assert error.__traceback__ is not None
    drop_frames(error)


def test_what_is_let_go_of_is_gone_at_once() -> None:
    """The frames, those of the errors behind it, and the circles that they are part of: without the garbage collector."""
    body = Body()
    gone = weakref.ref(body)
    error = raised(UpstreamFailed("no"), body)
    del body
    assert gone() is not None
    drop_frames(error)
    assert gone() is None
    assert traceback.format_exception(error) == ["proxy.errors.UpstreamFailed: no\n"]


def test_errors_that_arose_from_each_other() -> None:
    """A circle of errors has an end as well."""
    first, second = ValueError(), KeyError()
    first.__context__, second.__cause__ = second, first
    drop_frames(first)
    assert first.__context__ is None
    assert second.__cause__ is None
