"""What is remembered of runs, held against what really happened to them."""

import math
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.run_status import Listing, Page, RunEnd, Terminal
from proxy.service.lifetimes.configured import ramp_of
from proxy.service.lifetimes.known_runs import CHAIN_S, KnownRuns, RunKey
from tests.support.settings import settings
from tests.support.world import ManualClock

STATUS_S = 15.0
SETTINGS = settings(
    freshness__status_s=STATUS_S,
    freshness__settling_s=20,
    freshness__settling_failed_s=100,
    freshness__ended_max_s=3600,
)
RAMP = ramp_of(SETTINGS.now)
RUNS = ("1", "2", "3")


@dataclass
class Truth:
    """The runs as they are upstream: since when each is running, or how it ended, with its whole past."""

    clock: ManualClock
    past: dict[str, list[tuple[float, RunEnd | None]]] = field(default_factory=dict)

    def move(self, run: str, status: Terminal | None) -> None:
        now_s = self.clock.now_s()
        ended = None if status is None else RunEnd(status=status, at_s=now_s)
        self.past.setdefault(run, []).append((now_s, ended))

    def now(self, run: str) -> RunEnd | None:
        return self.past[run][-1][1]

    def since(self, run: str, earliest_s: float) -> list[RunEnd | None]:
        """How the run was at some moment since then."""
        begun = [number for number, (at_s, _) in enumerate(self.past[run]) if at_s <= earliest_s]
        return [ended for _, ended in self.past[run][begun[-1] if begun else 0 :]]

    def listing(self, *, cut: bool) -> Listing:
        running = [run for run in RUNS if self.now(run) is None]
        shown = tuple(running[: len(running) // 2] if cut else running)
        listing = Listing()
        listing.add(Page(ids=shown, running=frozenset(shown), total=len(running)))
        return listing


def learn(known: KnownRuns, truth: Truth, run: str, trouble: str, heard: list[str]) -> None:
    """What Statuses does, with an upstream that answers at once or not at all."""
    place, now_s = RunKey("n", "p", run), truth.clock.now_s()
    known.run(place)
    if known.list_due(place._replace(run=None)):
        known.note_list(
            place._replace(run=None), Listing() if trouble == "list" else truth.listing(cut=trouble == "cut"), now_s
        )
    if known.details_due(place):
        heard.append(run)
        if trouble == "details":
            known.note_no_details(place)
        else:
            known.note_details(place, truth.now(run), now_s)


@given(st.data())
def test_nothing_is_believed_that_was_not_so(data: st.DataObject) -> None:
    """A run is held for ended only if it was so a moment ago, settled since its last end that a list could have missed."""
    clock = ManualClock()
    truth, known, asked = Truth(clock), KnownRuns(SETTINGS, clock), list[str]()
    for run in RUNS:
        truth.move(run, data.draw(st.sampled_from([None, Terminal.COMPLETED])))
    for _ in range(data.draw(st.integers(1, 40))):
        clock.advance(data.draw(st.sampled_from([0.5, 5.0, 15.0, 16.0, 29.0, 31.0, 120.0, CHAIN_S + 1, 5000.0])))
        run = data.draw(st.sampled_from(RUNS))
        for _ in range(data.draw(st.sampled_from([0, 0, 0, 1, 2]))):
            truth.move(run, data.draw(st.sampled_from([None, Terminal.COMPLETED, Terminal.FAILED])))
        if data.draw(st.booleans()):
            learn(
                known,
                truth,
                data.draw(st.sampled_from(RUNS)),
                data.draw(st.sampled_from(["", "list", "details", "cut"])),
                asked,
            )
        for one in RUNS:
            fresh_s, now_s = known.known_status(RunKey("n", "p", one), stood_s=lambda: math.inf).fresh_s, clock.now_s()
            if fresh_s is not None:
                lately = truth.since(one, now_s - 2 * STATUS_S)
                assert any(lately), "it has been running all the while"
                told = known.run(RunKey("n", "p", one)).ended
                assert told in truth.since(one, 0)
                assert told is not None
                assert now_s - told.at_s >= RAMP.settling_s
                assert fresh_s <= RAMP.ended_max_s
                unseen = [end for end in truth.since(one, 0) if end is not None and end.at_s > told.at_s]
                # Only if it was resumed and ended again between two lists, or the status said once more since the details.
                assert all(now_s - end.at_s <= RAMP.ended_max_s + 2 * CHAIN_S for end in unseen)


@given(st.lists(st.sampled_from([15.0, 16.0, 29.0, 200.0]), max_size=200))
def test_a_run_that_stays_ended_costs_little(pauses: list[float]) -> None:
    """One `details` an hour however often it is looked at, and it counts as ended at every look."""
    clock = ManualClock()
    truth, known, asked = Truth(clock), KnownRuns(SETTINGS, clock), list[str]()
    for run in RUNS:
        truth.move(run, Terminal.COMPLETED)
    clock.advance(100_000)
    begun_s = clock.now_s()
    learn(known, truth, "1", "", asked)
    for pause_s in pauses:
        clock.advance(pause_s)
        learn(known, truth, "1", "", asked)
        assert known.known_status(RunKey("n", "p", "1"), stood_s=lambda: math.inf).fresh_s == RAMP.ended_max_s
    assert len(asked) <= 1 + (clock.now_s() - begun_s) / RAMP.ended_max_s


def known_runs() -> tuple[KnownRuns, Truth, RunKey]:
    clock = ManualClock()
    truth, known = Truth(clock), KnownRuns(SETTINGS, clock)
    for run in RUNS:
        truth.move(run, Terminal.COMPLETED)
    clock.advance(100_000)
    return known, truth, RunKey("n", "p", "1")


def test_what_is_newer_counts() -> None:
    """A list that was asked for before the details and comes after them doesn't call the run back to life."""
    known, truth, place = known_runs()
    learn(known, truth, "1", "", [])
    known.note_details(place, truth.now("1"), truth.clock.now_s() + 2)
    truth.move("1", None)
    known.note_list(place._replace(run=None), truth.listing(cut=False), truth.clock.now_s() + 1)
    truth.clock.advance(2)
    assert known.known_status(place, stood_s=lambda: math.inf).fresh_s == RAMP.ended_max_s


def test_a_run_that_was_seen_running_is_asked_about_at_once() -> None:
    """However long it was to be left alone because its details told nothing."""
    known, truth, place = known_runs()
    learn(known, truth, "1", "", [])
    for _ in range(5):
        truth.clock.advance(STATUS_S)
        known.note_details(place, None, truth.clock.now_s())
    asked: list[str] = []
    truth.clock.advance(STATUS_S)
    learn(known, truth, "1", "", asked)
    assert asked == []
    truth.move("1", None)
    truth.clock.advance(STATUS_S)
    learn(known, truth, "1", "", asked)
    truth.move("1", Terminal.COMPLETED)
    truth.clock.advance(STATUS_S)
    learn(known, truth, "1", "", asked)
    assert asked == ["1"]


def test_each_change_is_counted_once() -> None:
    """A change is an end, another end, and a run that goes on; what is learned first is none."""
    known, truth, place = known_runs()
    ends = [None, Terminal.COMPLETED, Terminal.COMPLETED, Terminal.FAILED, None, None]
    counts = [0, 1, 2, 3, 4, 4]
    changed_s: list[float] = []
    for status, count in zip(ends, counts, strict=True):
        truth.clock.advance(1)
        truth.move("1", status)
        if count > known.known_status(place, stood_s=lambda: math.inf).changes:
            changed_s.append(truth.clock.now_s())
        known.note_details(place, truth.now("1"), truth.clock.now_s())
        assert known.known_status(place, stood_s=lambda: math.inf).changes == count
        assert known.known_status(place, stood_s=lambda: math.inf).changed_s == (changed_s[-1] if changed_s else -math.inf)
    known.note_details(place, truth.now("1"), truth.clock.now_s())
    assert known.known_status(place, stood_s=lambda: math.inf).changes == 4


def test_memory_is_bounded() -> None:
    """What is looked at longest ago is forgotten, and so is running."""
    known, truth, place = known_runs()
    learn(known, truth, "1", "", [])
    assert known.known_status(place, stood_s=lambda: math.inf).fresh_s == RAMP.ended_max_s
    for number in range(10_000):
        known.note_change(RunKey("n", "p", f"x{number}"), truth.clock.now_s())
    assert known.known_status(place, stood_s=lambda: math.inf).fresh_s is None
