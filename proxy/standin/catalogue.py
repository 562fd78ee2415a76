"""The runs and projects there are: those of the growing runs, those that rows were inserted for, those that a test adds."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from proxy.standin import invention
from proxy.standin.growth import Growth
from proxy.standin.rows import ID_SHIFT, Rows, RunKey
from proxy.standin.runs import Fields, Project, Run, RunStatus, StatusEvent

_FIRST_TIME = "SELECT min(time) FROM metrics WHERE tenant = :tenant AND project = :project AND run_id = :run_id"


class Catalogue:
    """All runs, by organization and id.

    A run that is known only by its rows is RUNNING until a test says otherwise; it was created when its first row was
    logged. Numbers and project ids are given in the order in which runs become known, within one look by their ids.
    """

    def __init__(self, rows: Rows, growth: Growth | None, clock: Callable[[], float]) -> None:
        self._rows = rows
        self._clock = clock
        self._runs: dict[tuple[str, int], Run] = {}
        self._seen: set[RunKey] = set()
        self._numbers: Counter[tuple[str, str]] = Counter()
        self._events = 0
        if growth is not None:
            self._add_grown(growth)

    def add(
        self,
        run_id: int,
        *,
        project: str = "demo",
        tenant: str = "org_demo",
        name: str | None = None,
        created_at_s: float | None = None,
        logs_grow: bool = False,
    ) -> Run:
        """Add a run, with rows or without any; what isn't given is made up. An id that is taken is replaced."""
        created_at_s = self._clock() if created_at_s is None else created_at_s
        self._numbers[tenant, project] += 1
        self._seen.add((tenant, project, run_id))
        self._events += 1
        run = self._runs[tenant, run_id] = Run(
            id=run_id,
            tenant=tenant,
            project=project,
            number=self._numbers[tenant, project],
            name=name or invention.name_of(run_id),
            created_at_s=created_at_s,
            updated_at_s=created_at_s,
            tags=invention.tags_of(run_id),
            config=invention.config_of(run_id),
            system_metadata=invention.system_metadata_of(run_id),
            events=[StatusEvent(id=self._events, from_status=None, to_status=RunStatus.RUNNING, at_s=created_at_s)],
            logs_grow=logs_grow,
        )
        return run

    def change(
        self,
        run_id: int,
        *,
        tenant: str = "org_demo",
        status: RunStatus | None = None,
        status_updated_s: float | None = None,
        source: str = "api",
        name: str | None = None,
        tags: Sequence[str] | None = None,
        config: Fields | None = None,
    ) -> Run:
        """Change a run now, or write it once more as it is; its `updatedAt` follows.

        `status_updated_s` is when it came to its status, as an import tells it (wall seconds); `source` is who changed the
        status: api, resume, stale-monitor or threshold-trigger. KeyError for an unknown run, ValueError for a time without a
        status. Rows of a growing run keep coming, as they may upstream.
        """
        run = self.find(tenant, run_id)
        if run is None:
            raise KeyError(run_id)
        if status is not None:
            self._move(run, RunStatus(status), told_s=status_updated_s, now_s=self._clock(), source=source)
        elif status_updated_s is not None:
            raise ValueError("status_updated_s goes with a status")
        if name is not None:
            run.name = name
        if tags is not None:
            run.tags = list(tags)
        if config is not None:
            run.config = config
        run.updated_at_s = self._clock()
        return run

    def find(self, tenant: str, run_id: int) -> Run | None:
        """An organization's run."""
        self._discover()
        return self._runs.get((tenant, run_id))

    def runs(self, tenant: str, project: str | None = None) -> list[Run]:
        """An organization's runs, or those of one of its projects, by id."""
        self._discover()
        found = [run for run in self._runs.values() if run.tenant == tenant and project in (None, run.project)]
        return sorted(found, key=lambda run: run.id)

    def everything(self) -> list[Run]:
        """The runs of all organizations."""
        self._discover()
        return list(self._runs.values())

    def projects(self, tenant: str) -> list[Project]:
        """An organization's projects, the one created last first."""
        runs = self.runs(tenant)
        found = []
        for number, (owner, name) in enumerate(self._numbers, 1):
            times = [run.created_at_s for run in runs if run.project == name]
            if owner == tenant and times:
                found.append(
                    Project(id=number, name=name, created_at_s=min(times), updated_at_s=max(times), run_count=len(times))
                )
        return sorted(found, key=lambda project: (-project.created_at_s, -project.id))

    def _add_grown(self, growth: Growth) -> None:
        for grown in growth.runs:
            run = self.add(grown.id, project=growth.project, tenant=growth.tenant, created_at_s=grown.started_s, logs_grow=True)
            if grown.ended_s is not None:
                self._move(run, RunStatus.COMPLETED, told_s=None, now_s=grown.ended_s, source="api")
                run.updated_at_s = grown.ended_s

    def _move(self, run: Run, status: RunStatus, *, told_s: float | None, now_s: float, source: str) -> None:
        """As upstream, a status that is said again leaves no event, and keeps its time unless one is told or it is RUNNING."""
        changes = status is not run.status
        at_s = told_s if told_s is not None else now_s
        if changes:
            self._events += 1
            event = StatusEvent(id=self._events, from_status=run.status, to_status=status, at_s=at_s, source=source)
            run.events.append(event)
        run.status = status
        if changes or told_s is not None or status is RunStatus.RUNNING:
            run.status_updated_s = at_s

    def _discover(self) -> None:
        for key in sorted(self._rows.runs - self._seen):
            self._seen.add(key)
            tenant, project, run_id = key
            if (tenant, run_id) not in self._runs:
                self.add(run_id, project=project, tenant=tenant, created_at_s=self._first_row_s(key))

    def _first_row_s(self, key: RunKey) -> float:
        tenant, project, run_id = key
        values: dict[str, str | int] = {"tenant": tenant, "project": project, "run_id": run_id - ID_SHIFT}
        ((first,),) = self._rows.fetch(_FIRST_TIME, values)
        return self._clock() if first is None else parse_time(first)


def parse_time(text: str) -> float:
    """A row's time to wall seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
