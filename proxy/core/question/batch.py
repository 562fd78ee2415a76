"""The parameter `input` of `/api/chart-data/multi-metric-batch-bucketed`: a JSON object with runs, metrics and a window.

The upstream reads it with a schema: a field of another kind refuses all of it, and a field that the schema lacks is dropped.
`BatchInput` makes one text of all spellings of an input, without the organization, which is added when the upstream is asked.

Where the order of `runIds` and `logNames` can only change the order of keys in the answer, they are sorted, and `AskedOrder`
has the order that was asked. They are sorted downwards: where the upstream orders keys by itself it goes upwards, so that an
answer shows whether its keys follow the question (`core.question.key_order`). Repetitions stay, since the upstream counts a run
or a metric twice that is named twice.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

import msgspec
from msgspec import UNSET, UnsetType

from proxy.core.lone_surrogates import STAND_IN, read_json
from proxy.core.question.parameters import FIRST_UNPRINTABLE, Schema
from proxy.core.question.sqids import run_of_sqid

_LEAST_BUCKETS, _MOST_BUCKETS = 10, 20_000
_MOST_NAMED = 200
# The upstream answers 500 to a run id that is neither; its digits are ASCII.
_DISPLAY_ID = re.compile(r"([A-Za-z0-9]+)-([0-9]{1,15})")
_SQID = re.compile(r"[A-Za-z0-9]+")
_ORGANIZATION = "organizationId"
# How an input begins in a canonical target.
_OPENING = "input=%7B"

_Names = Annotated[list[str], msgspec.Meta(min_length=1, max_length=_MOST_NAMED)]


class _Input(msgspec.Struct):
    """The upstream's schema; it needs `organizationId`, which this proxy fills in."""

    projectName: str  # noqa: N815 -- the upstream's own field names
    runIds: _Names  # noqa: N815 -- as above
    logNames: _Names  # noqa: N815 -- as above
    organizationId: str | UnsetType = UNSET  # noqa: N815 -- as above
    buckets: float | UnsetType = UNSET
    stepMin: float | UnsetType = UNSET  # noqa: N815 -- as above
    stepMax: float | UnsetType = UNSET  # noqa: N815 -- as above


_input = msgspec.json.Decoder(_Input)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedOrder:
    """The order in which a client named metrics and runs, and the order in which the upstream is asked for them."""

    names: tuple[str, ...]
    runs: tuple[str, ...]
    sent_names: tuple[str, ...]
    sent_runs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What an input says.

    - `values`: canonical texts: `input` itself, `projectName`, and `runIds`, separated by commas.
    - `organization`: the organization that the client means, None where it names none.
    - `order`: None where the order that was asked is the one that the upstream is asked in.
    - `unknown`: the fields that are dropped.
    """

    values: Mapping[str, str]
    organization: str | None
    order: AskedOrder | None
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BatchInput:
    """An input as the upstream reads it."""

    @property
    def schema(self) -> Schema:
        """See Kind."""
        texts = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": _MOST_NAMED}
        step = {"type": "integer", "minimum": 0, "description": "counts only beside the other end of the window"}
        properties = {
            _ORGANIZATION: {"type": "string", "description": "may be left out; another one than the shared key's is refused"},
            "projectName": {"type": "string"},
            "runIds": texts | {"description": "display ids (MMP-42) or short ids, as in the addresses of pages"},
            "logNames": texts,
            "buckets": {"type": "integer", "minimum": _LEAST_BUCKETS, "maximum": _MOST_BUCKETS},
            "stepMin": step,
            "stepMax": step,
        }
        content = {"type": "object", "required": ["projectName", "runIds", "logNames"], "properties": properties}
        return {"type": "string", "contentMediaType": "application/json", "contentSchema": content}

    def canonical(self, text: str) -> str | None:
        """Return the text as it is: `open` reads it, since it says more than one canonical text."""
        return text

    def open(self, text: str) -> Opened:
        """Read an input. Raises ValueError with a sentence for the client where the upstream would refuse it."""
        if not text:
            raise ValueError("required")
        given, unknown = _read(text.encode())
        runs, names = _sent_runs(given.runIds), tuple(sorted(given.logNames, reverse=True))
        asked: dict[str, object] = {"projectName": given.projectName, "runIds": runs, "logNames": names}
        if given.buckets is not UNSET:
            asked["buckets"] = _whole("buckets", given.buckets, _LEAST_BUCKETS, _MOST_BUCKETS)
        asked |= _window(given)
        order = AskedOrder(names=tuple(given.logNames), runs=tuple(given.runIds), sent_names=names, sent_runs=runs)
        return Opened(
            values={
                "input": msgspec.json.encode(asked).decode(),
                "projectName": given.projectName,
                "runIds": ",".join(runs),
            },
            organization=None if given.organizationId is UNSET else given.organizationId,
            order=None if (order.names, order.runs) == (names, runs) else order,
            unknown=unknown,
        )

    def addressed(self, target: str, organization: str) -> str:
        """Return a canonical target with the organization filled in, as the upstream needs it."""
        field = msgspec.json.encode({_ORGANIZATION: organization})[1:-1].decode()
        begin = target.index(_OPENING) + len(_OPENING)
        return f"{target[:begin]}{quote(field + ',', safe='')}{target[begin:]}"


def named_in(text: str) -> tuple[str, frozenset[str]]:
    """Return the project and the metrics that a canonical input names."""
    given = _input.decode(text)
    return given.projectName, frozenset(given.logNames)


def _read(text: bytes) -> tuple[_Input, tuple[str, ...]]:
    """Return an input, and the names of the fields that the upstream drops. Raises ValueError."""
    try:
        given = read_json(_input, text)
        fields = read_json(_fields, text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except msgspec.DecodeError as exc:
        # The library's message names the place and the type; it quotes nothing of the text.
        raise ValueError(f"not what pluto-api takes here: {exc}") from None
    organization = "" if given.organizationId is UNSET else given.organizationId
    if any(STAND_IN in name for name in (organization, given.projectName, *given.runIds, *given.logNames)):
        raise ValueError("holds a NUL character or half of a surrogate pair, which no name can have")
    if not all(_DISPLAY_ID.fullmatch(run) or _SQID.fullmatch(run) for run in given.runIds):
        raise ValueError("runIds must be display ids such as MMP-42, or short ids of letters and digits")
    return given, tuple(f"input.{name}" for name in fields if name not in _Input.__struct_fields__)


def _window(given: _Input) -> dict[str, int]:
    """Return the ends of the window, none where one is missing: the upstream looks at both or at none."""
    named = {"stepMin": given.stepMin, "stepMax": given.stepMax}
    window = {name: _whole(name, step) for name, step in named.items() if step is not UNSET}
    return window if len(window) == len(named) else {}


def _whole(name: str, number: float, least: int = 0, most: int | None = None) -> int:
    """Return a whole number from `least` to `most`; None: below 1e21. Raises ValueError."""
    if number.is_integer() and least <= number and (number < FIRST_UNPRINTABLE if most is None else number <= most):
        return int(number)
    raise ValueError(f"{name} must be a whole number " + (f"of {least} or more" if most is None else f"from {least} to {most}"))


def _sent_runs(runs: Sequence[str]) -> tuple[str, ...]:
    """Return run ids in the order in which the upstream is asked for them.

    Of two spellings of one run the upstream answers with the one that was named last. So ids are sorted only where no two of
    them can be the same run.
    """
    numbers = {run: _number_of(run) for run in runs}
    kinds = {None if number is None else number[0] for number in numbers.values()}
    if None in kinds or len(kinds) > 1 or len(set(numbers.values())) < len(numbers):
        return tuple(runs)
    return tuple(sorted(runs, key=lambda run: numbers[run] or ("", 0), reverse=True))


def _number_of(run: str) -> tuple[str, int] | None:
    """Return a run id's kind and its number among those of that kind: two of one kind with other numbers are other runs."""
    if found := _DISPLAY_ID.fullmatch(run):
        return found[1].upper() + "-", int(found[2])
    number = run_of_sqid(run)
    return None if number is None else ("", number)
