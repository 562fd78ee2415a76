"""A stand-in for pluto-api: it answers as the upstream does, and misbehaves on demand.

It shares no code with the rest of the project, so that it can be the oracle for the proxy's parsing and sampling.
`Standin` is the way in for tests; `python -m proxy.standin` serves it as a process of its own.
"""

from proxy.standin.auth import Key, KeyStatus, Organization
from proxy.standin.config import KeyOrder, StandinConfig, StepMode
from proxy.standin.faults import Fault, FaultKind
from proxy.standin.growth import GrowthConfig
from proxy.standin.rows import Row
from proxy.standin.runs import RunStatus
from proxy.standin.server import Standin

__all__ = [
    "Fault",
    "FaultKind",
    "GrowthConfig",
    "Key",
    "KeyOrder",
    "KeyStatus",
    "Organization",
    "Row",
    "RunStatus",
    "Standin",
    "StandinConfig",
    "StepMode",
]
