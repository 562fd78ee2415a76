"""The settings that hold now."""

from collections.abc import Callable

from proxy.config import Config


class Settings:
    """Holds the configuration.

    `now` is the one that holds. `version` says how often it was switched.
    """

    def __init__(self, config: Config) -> None:
        self.now = config
        self.version = 0
        self._followers: list[Callable[[], None]] = []

    def follow(self, renew: Callable[[], None]) -> None:
        """Call `renew` now, and each time that the settings were switched. It must not fail for a valid configuration."""
        self._followers.append(renew)
        renew()

    def switch(self, config: Config) -> None:
        """Let another configuration hold from now on. It differs in what can change alone (`settings.changeable`)."""
        self.now = config
        self.version += 1
        for renew in self._followers:
            renew()
