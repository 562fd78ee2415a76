"""Reloading the configuration while the process runs (`proxy.settings`)."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import structlog

from proxy.app.parts import Parts
from proxy.config import Config, LoadedConfig
from proxy.errors import ConfigError
from proxy.service.access.tokens import TokenFile, read_token_file
from proxy.settings.changeable import changed, merged
from proxy.upstream.credential import ReadKey, read_source

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """All that a switch takes. `left`: the settings that can't change, and would be others after a restart."""

    config: Config
    left: tuple[str, ...]
    tokens: TokenFile
    key: ReadKey


class Reloader:
    """Reloads when asked to, one reload at a time.

    Whoever asks during a reload gets another one after it: what was read may be older than what they mean.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        read: Callable[[], LoadedConfig],
        fit: Callable[[Config], Config],
        told: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """`read` reads the configuration as at the start.

        `fit` returns the configuration to use in this process, and raises ConfigError where it must not be used in it. `told`:
        within this context a supervisor takes the process for reloading.
        """
        self._parts = parts
        self._read = read
        self._fit = fit
        self._told = told
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Have the configuration reloaded soon."""
        self._asked.set()

    async def run(self) -> None:
        """Reload whenever asked to, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            with self._told():
                await self.reload()

    async def reload(self) -> None:
        """Reload once. Where anything is wrong nothing has changed, and the log and `Parts.reloads` tell what is."""
        try:
            # What is read may lie on a slow disk: requests go on meanwhile.
            prepared = await asyncio.to_thread(self._prepare)
        except ConfigError as exc:
            self._refuse(exc.faults)
        except Exception as exc:  # noqa: BLE001 -- whatever it is, the settings of before go on holding
            _log.exception("config.reload_crashed")
            self._refuse([f"a fault in the proxy: {type(exc).__name__}"])
        else:
            self._switch(prepared)

    def _prepare(self) -> Prepared:
        """Read and check everything, and change nothing. Raises ConfigError."""
        loaded, before = self._read(), self._parts.settings.now
        config = merged(before, loaded.config)
        left = changed(config, loaded.config)
        config = self._fit(config)
        if loaded.key is None and not config.upstream.offline:
            raise ConfigError(["PLUTO_API_KEY: there is no key any more"])
        return Prepared(
            config=config,
            left=tuple(sorted(left)),
            tokens=read_token_file(config.access.tokens_file),
            key=read_source(loaded.key),
        )

    def _switch(self, prepared: Prepared) -> None:
        """Let everything that was prepared hold, in one step that neither waits nor fails."""
        parts, before = self._parts, self._parts.settings.now
        parts.credential.renew(prepared.key)
        parts.tokens.renew(prepared.tokens)
        parts.settings.switch(prepared.config)
        parts.reloads.note_success(prepared.left)
        # Without the values: one may hold a password.
        _log.info("config.reloaded", changed=sorted(changed(before, prepared.config)))
        if prepared.left:
            _log.warning("config.restart_needed", settings=list(prepared.left), hint="these stay as they are until a restart")

    def _refuse(self, faults: list[str]) -> None:
        self._parts.reloads.note_failure(tuple(faults))
        _log.error("config.kept", faults=faults, hint="the settings of before go on holding, all of them")
