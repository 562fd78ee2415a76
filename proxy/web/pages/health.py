"""`/livez`: the process answers. `/readyz`: it should be sent requests. `/metrics`: for Prometheus."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from aiohttp import web

from proxy.telemetry import Telemetry
from proxy.web.intake import Intake
from proxy.web.reading.targets import Target

PATHS = frozenset({"/livez", "/readyz", "/metrics"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What a part says of its health: its state by name, for the document, and what is wrong with it, in sentences.

    Neither names a run, a project or a metric.
    """

    states: Mapping[str, Callable[[], object]]
    troubles: Callable[[], Iterable[str]] = tuple


class Health:
    """The pages that are for probes, monitoring, and those who look what is wrong."""

    def __init__(self, *, intake: Intake, telemetry: Telemetry, sections: Sequence[Section]) -> None:
        self._intake = intake
        self._telemetry = telemetry
        self._sections = sections

    def respond(self, target: Target, accept: str) -> web.Response:
        """Return the response to a request for a target, one of PATHS; `accept` is its Accept field."""
        match target.path:
            case "/livez":
                response = web.Response(text="ok\n")  # whoever can answer is alive
            case "/readyz":
                response = self._readyz(verbose=target.query.partition("=")[0] == "verbose")
            case _:
                body, content_type = self._telemetry.exposition(accept)
                response = web.Response(body=body, headers={"Content-Type": content_type})
        # A state is of its moment, and for whom it was told: nothing before the proxy may keep it for others.
        response.headers["Cache-Control"] = "no-store"
        return response

    def document(self) -> dict[str, object]:
        """Return the state of everything, without a name of a run, a project or a metric."""
        states = {name: read() for section in self._sections for name, read in section.states.items()}
        return {"ready": not self._intake.draining, "troubles": self._troubles(), **states}

    def _readyz(self, *, verbose: bool) -> web.Response:
        """Return 200 while requests are taken, 503 once the process is ending; `?verbose` tells more, as JSON.

        An upstream that fails, a refused key or a broken cache file don't make the proxy unready: it goes on answering what it
        can, and taking it out of service would help nobody. All of them are told.
        """
        status = 503 if self._intake.draining else 200
        if verbose:
            return web.Response(status=status, body=msgspec.json.encode(self.document()), content_type="application/json")
        lines = ["draining" if self._intake.draining else "ok", *self._troubles()]
        return web.Response(status=status, text="\n".join(lines) + "\n")

    def _troubles(self) -> list[str]:
        return [trouble for section in self._sections for trouble in section.troubles()]


def is_public(target: Target) -> bool:
    """Tell whether a target, one of PATHS, is answered to everybody, token or not: what probes ask, and no more."""
    return target.path == "/livez" or (target.path == "/readyz" and not target.query)
