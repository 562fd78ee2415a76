"""What became of reloads: for the metrics, `/readyz`, and whoever looks what is wrong."""

from dataclasses import dataclass

from proxy.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class LastReload:
    """The last reload; the start counts as the first one, which succeeded.

    `faults`: what was wrong, nothing where it succeeded. `left`: the settings in the file or the environment that differ from
    those in force, because a restart is needed for them.
    """

    faults: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def succeeded(self) -> bool:
        """Whether what was read holds now, but for what was left."""
        return not self.faults


class Reloads:
    """Counts reloads and remembers the last one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.last = LastReload()
        self.succeeded = self.failed = 0
        """How many succeeded and how many failed since the start."""
        self.loaded_s = clock.now_s()
        """When the settings that hold were read (wall time)."""

    def note_success(self, left: tuple[str, ...]) -> None:
        """Note that a reload succeeded; `left` as in LastReload."""
        self.last = LastReload(left=left)
        self.succeeded += 1
        self.loaded_s = self._clock.now_s()

    def note_failure(self, faults: tuple[str, ...]) -> None:
        """Note that a reload failed. What the one before left is left still."""
        self.last = LastReload(faults=faults, left=self.last.left)
        self.failed += 1
