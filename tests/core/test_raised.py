"""What is kept of an error says the same, and holds nothing."""

import traceback
import weakref

import pytest

from proxy.clock import SystemClock
from proxy.core.raised import anew, let_go
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
from proxy.service.fetching.call_key import CallKey
from proxy.service.fetching.memo import Failure, Memo

ERRORS = [
    UpstreamFailed("no", upstream_status=500, transient=True),
    UpstreamBusy("later", retry_after_s=2.5, upstream_status=429),
    BadQuery((Fault(parameter="a", message="b"), Fault(parameter="", message="c"))),
    ClientLimited("slower", policy="rate", retry_after_s=1),
    Unauthorized("who", given=True),
    MethodNotAllowed("no", allowed="GET"),
]


class Body:
    """What a frame holds."""


def raised(error: Exception, body: Body) -> Exception:
    """Return an error that went through frames which hold a body, and the error itself, and arose from one that did so too."""
    held = None
    try:
        try:
            raise ValueError(body)  # noqa: TRY301 -- a frame of its own would be let go of
        except ValueError as exc:
            raise error from exc
    except type(error) as exc:
        held = exc
    return held


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_the_same_error_once_more(error: ProxyError) -> None:
    """Its kind, its text and all that belongs to it; nothing of where it was raised."""
    body = Body()
    raised(error, body)
    again = anew(error)
    assert type(again) is type(error)
    assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))
    assert (again.__traceback__, again.__context__, again.__cause__) == (None, None, None)
    assert error.__traceback__ is not None
    let_go(error)


def test_what_is_let_go_of_is_gone_at_once() -> None:
    """The frames, those of the errors behind it, and the circles that they are part of: without the garbage collector."""
    body = Body()
    gone = weakref.ref(body)
    error = raised(UpstreamFailed("no"), body)
    del body
    assert gone() is not None
    let_go(error)
    assert gone() is None
    assert traceback.format_exception(error) == ["proxy.errors.UpstreamFailed: no\n"]


def test_errors_that_arose_from_each_other() -> None:
    """A circle of errors has an end as well."""
    first, second = ValueError(), KeyError()
    first.__context__, second.__cause__ = second, first
    let_go(first)
    assert first.__context__ is None
    assert second.__cause__ is None


def test_what_is_remembered_of_a_failure() -> None:
    """It holds nothing, neither of where it was raised first nor of those who raise it again."""
    memo, question = Memo(SystemClock(), negative_s=60), CallKey("fingerprint", "/api/runs/metrics")
    error = raised(UpstreamFailed("no"), Body())
    assert isinstance(error, UpstreamFailed)
    memo.remember(question, error)
    let_go(error)
    for _ in range(3):
        said = memo.get(question)
        assert isinstance(said, Failure)
        with pytest.raises(UpstreamFailed, match="no"):
            raise said.again()
        assert (said.error.__traceback__, said.error.__context__, said.error.__cause__) == (None, None, None)
        assert said.error is not error
