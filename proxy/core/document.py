"""Whether a body has the shape that the upstream documents.

Only what readers rely on is demanded, so that the upstream may add fields; a login page, an error document with status 200
and a cut body are told apart from an answer. The body itself is never changed: what was checked is what is passed on.
"""

from typing import Annotated

import msgspec


class _Row(msgspec.Struct):
    """A row of the answer. `valueFlag` is absent in the published schema; `step` is quoted on older servers."""

    logName: str  # noqa: N815 -- the upstream's own field names
    logGroup: str  # noqa: N815
    value: int | float
    time: str
    step: int | Annotated[str, msgspec.Meta(pattern=r"^[0-9]+\Z")]


class _Metrics(msgspec.Struct):
    metrics: list[_Row]


_decoder = msgspec.json.Decoder(_Metrics)


def check_metrics(body: bytes) -> None:
    """Raise ValueError unless `body` is `{"metrics":[{logName, logGroup, value, time, step, …}, …]}` in UTF-8 JSON."""
    try:
        _decoder.decode(body)
        if not body.isascii():
            body.decode()  # the decoder looks only into the fields that it knows
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        # The library's message names the place and the type; it quotes nothing of the body.
        raise ValueError(str(exc)) from None
