"""What clients that watch are told of an upstream that fails or rests."""

from dataclasses import dataclass

from proxy.core.freshness.outcome import Stale
from proxy.core.freshness.plan import Condition
from proxy.errors import AnswerTooLarge, KeyRefused, Offline, UpstreamBusy, UpstreamError
from proxy.service.answer import Answer

_RESTING = "pluto-api is left alone for a while, since it failed or refused: what is shown is what was known before"
_REFUSED = "pluto-api refuses the shared key: what is shown goes stale; the proxy's operator can set another key"
_FAILING = "pluto-api fails: what is shown is what was known before"
# Why a stale answer is served where nothing is wrong upstream: a refresh is under way.
_WAITING = frozenset({Stale.REVALIDATING, Stale.QUEUE, Stale.SLOW})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is wrong: a code and a title as errors have them (`proxy.errors`), and a sentence for people."""

    code: str
    title: str
    detail: str


_IS_OFFLINE = Trouble(
    code=Offline.code,
    title="The proxy is offline",
    detail="pluto-api is never asked: what is shown is what was stored before",
)


def trouble_of_condition(condition: Condition) -> Trouble | None:
    """Return what is wrong with the upstream for everybody, None where nothing is."""
    if condition is Condition.OPEN:
        return None
    if condition is Condition.OFFLINE:
        return _IS_OFFLINE
    if condition is Condition.KEY_REFUSED:
        return Trouble(code=KeyRefused.code, title=KeyRefused.title, detail=_REFUSED)
    return Trouble(code=UpstreamBusy.code, title=UpstreamBusy.title, detail=_RESTING)


def trouble_of_error(error: UpstreamError) -> Trouble | None:
    """Return what an error says of the upstream; None where it is about one series alone, which is too large."""
    if isinstance(error, AnswerTooLarge):
        return None
    return Trouble(code=error.code, title=error.title, detail=error.detail)


def trouble_of_answer(answer: Answer) -> Trouble | None:
    """Return why an answer is staler than it should be, None where nothing is wrong."""
    stale = answer.outcome.stale
    if stale is None or stale in _WAITING:
        return None
    if stale == Condition.OFFLINE.value:
        return _IS_OFFLINE
    return Trouble(code=stale, title=UpstreamError.title, detail=_FAILING)
