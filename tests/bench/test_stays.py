"""What the count of stays tells apart."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from proxy.clock import SystemClock
from tests.bench.exchange import UnexpectedError
from tests.bench.stays import CASES, PACKAGE, Calls, Case, counted, section

_HELPERS = """
def helper():
    return inner()

def inner():
    return (lambda: 1)()
"""
_ROUTE = """
import asyncio

async def route(helper):
    for _ in range(2):
        helper()
        await asyncio.sleep(0)
    return [one for one in generator()] + [local()]

def generator():
    yield helper_of_none()

def helper_of_none():
    return None

def local():
    return helper_of_none()
"""


def _module(folder: Path, name: str, text: str) -> ModuleType:
    path = folder / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_stays_are_told_from_other_calls(tmp_path: Path) -> None:
    """A function entered from another file is a stay; calls within a file, lambdas and what goes on after an await are not."""
    room = tmp_path / "room"
    helpers, route = _module(room / "deeper", "helpers", _HELPERS), _module(room, "route", _ROUTE)
    elsewhere = _module(tmp_path / "room2", "elsewhere", _HELPERS)
    calls = Calls(folder=room)
    with calls:
        await route.route(helpers.helper)
        elsewhere.helper()
    await route.route(helpers.helper)
    names = [
        {code.co_name: count for code, count in counter.items() if count}
        for counter in (calls.stays, calls.entered, calls.resumed)
    ]
    assert names == [
        {"route": 1, "helper": 2},
        {"route": 1, "helper": 2, "inner": 2, "generator": 1, "helper_of_none": 2, "local": 1},
        {"route": 2, "generator": 1},
    ]
    # A comprehension is a frame of its own in some versions of Python.
    assert sum(count for code, count in calls.nameless.items() if code.co_name == "<lambda>") == 2
    assert calls.within(room / "deeper").entered.total() == 4


async def test_a_request_comes_to_the_same_in_every_world() -> None:
    """The reader is entered once, and the count is the same the next time."""
    first, second = [(await counted(CASES["a series hit"])).within(PACKAGE / "service") for _ in range(2)]
    assert first.stays == second.stays
    assert [count for code, count in first.stays.items() if code.co_qualname == "Reader.read"] == [1]


async def test_a_request_that_is_another_case() -> None:
    """What was answered otherwise than the case says isn't counted."""
    with pytest.raises(UnexpectedError, match="uri-miss"):
        await counted(Case(target=CASES["a plain miss"].target, begins="hit"))


def test_counts_that_differ_are_told_as_a_range() -> None:
    """The table gives the least and the most where worlds differ; what isn't the service's counts in the last column alone."""
    less, more, clock = Calls(folder=PACKAGE), Calls(folder=PACKAGE), SystemClock()
    with more:
        clock.now_s()
    assert section({"nothing": [less, more]}).rows == [["nothing", "0", "0", "0", "0", "0..1"]]
