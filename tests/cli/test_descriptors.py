"""The limit on file descriptors and the bound on connections go together."""

import resource

import pytest

from proxy.cli.descriptors import fit_connections
from proxy.config import load

UNLIMITED = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "refused", "limit", "most"),
    [
        (1_024, 524_288, False, 4_192, 4_096),
        (1_024, UNLIMITED, False, 4_192, 4_096),
        (4_192, 4_192, False, None, 4_096),
        (UNLIMITED, UNLIMITED, False, None, 4_096),
        (1_024, 1_024, False, 1_024, 928),
        (1_024, 2_000, False, 2_000, 1_904),
        (1_024, UNLIMITED, True, None, 928),
        (50, 50, False, 50, 1),
    ],
)
def test_room(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, refused: bool, limit: int | None, most: int) -> None:
    """The limit is raised as far as connections, upstream and files need, never lowered; what it doesn't hold isn't let in."""
    was_set: list[tuple[int, int]] = []

    def setrlimit(_which: int, limits: tuple[int, int]) -> None:
        if refused:
            raise ValueError("not allowed to raise maximum limit")
        was_set.append(limits)

    monkeypatch.setattr(resource, "getrlimit", lambda _which: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    config = load(None, {}).config
    room = fit_connections(config)
    assert was_set == ([] if limit is None else [(limit, hard)])
    assert room.server.max_connections == most
    assert room.model_copy(update={"server": config.server}) == config
