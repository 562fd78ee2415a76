"""The control surface under `/_standin/`: steers a stand-in that runs as another process. Its calls aren't counted.

- `GET counters`: the counters as JSON
- `GET calls`: the last calls, the oldest first, as JSON objects with `Call`'s fields
- `POST faults`: a fault, or a list of them, as JSON objects with `Fault`'s fields (but `matches` and `gate`)
- `POST runs`: a change of a run, or a list of them: its `id`, and any of `tenant`, `status`, `status_updated_s` (when it came
  to it, in wall seconds, as an import tells it), `source`, `name`, `tags`, `config`
- `POST reset`: no faults, counters at zero
"""

import dataclasses
import json
from typing import Protocol

from aiohttp import web

from proxy.standin.answers import Answer, json_answer
from proxy.standin.catalogue import Catalogue
from proxy.standin.counters import Counters
from proxy.standin.faults import Fault, FaultKind, Faults
from proxy.standin.runs import RunStatus

PREFIX = "/_standin/"
_FIELDS = {field.name for field in dataclasses.fields(Fault)} - {"matches", "gate"}


class Steered(Protocol):
    """What the control surface steers."""

    faults: Faults
    counters: Counters
    catalogue: Catalogue


async def answer(steered: Steered, request: web.BaseRequest, path: str) -> Answer:
    """Do what the control call says."""
    match request.method, path.removeprefix(PREFIX):
        case "GET", "counters":
            return json_answer(steered.counters.as_json())
        case "GET", "calls":
            return json_answer([dataclasses.asdict(call) for call in steered.counters.calls])
        case "POST", "reset":
            steered.faults.clear()
            steered.counters.reset()
            return json_answer({"reset": True})
        case "POST", "faults":
            return _add_faults(steered, await request.text())
        case "POST", "runs":
            return _change_runs(steered, await request.text())
        case _:
            return json_answer({"error": "GET counters, GET calls, POST faults, POST runs, POST reset"}, 404)


def _change_runs(steered: Steered, text: str) -> Answer:
    """All of the changes or, where one of them can't be read, those before it."""
    try:
        given = json.loads(text)
        changes = given if isinstance(given, list) else [given]
        for change in changes:
            fields = dict(change)
            if "status" in fields:
                fields["status"] = RunStatus(fields["status"])
            if "status_updated_s" in fields:
                fields["status_updated_s"] = float(fields["status_updated_s"])
            steered.catalogue.change(fields.pop("id"), **fields)
    except (KeyError, TypeError, ValueError) as exc:
        return json_answer({"error": repr(exc)}, 400)
    return json_answer({"changed": len(changes)})


def _add_faults(steered: Steered, text: str) -> Answer:
    try:
        given = json.loads(text)
        faults = [_fault_of(fields) for fields in (given if isinstance(given, list) else [given])]
    except (TypeError, ValueError) as exc:
        return json_answer({"error": str(exc)}, 400)
    for fault in faults:
        steered.faults.add(fault)
    return json_answer({"added": len(faults)})


def _fault_of(fields: object) -> Fault:
    if not isinstance(fields, dict):
        raise TypeError("a fault is a JSON object")
    if unknown := set(fields) - _FIELDS:
        raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
    return Fault(**(fields | {"kind": FaultKind(fields.get("kind", FaultKind.HOLD))}))
