"""The checks of `pluto-proxy doctor` on this machine: each yields what it found, and what to do where something is wrong."""

import os
import platform
import resource
import shutil
import sqlite3
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import aiohttp

from proxy import __version__
from proxy.cli.output import size
from proxy.config import KeySource, LoadedConfig
from proxy.config.model import Config
from proxy.errors import ConfigError, TokenFileError
from proxy.store.sqlite.files import COMPANIONS, size_of
from proxy.store.sqlite.versions import newer_than_this, reason_against
from proxy.store.token_file import read_tokens
from proxy.upstream.credential import read_source

OTHERS = stat.S_IRWXO
_OTHERS_AND_GROUP = stat.S_IRWXG | OTHERS
# Descriptors beside those of connections.
_OWN_DESCRIPTORS = 64


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    ADVICE = "advice"
    """It works, and could be better."""
    FAULT = "fault"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check found. `todo`: what to do about it, where there is something to do. Neither holds a secret."""

    check: str
    state: State
    text: str
    todo: str = ""


def fine(check: str, text: str) -> Finding:
    """Return that a check found nothing wrong."""
    return Finding(check=check, state=State.OK, text=text)


def check_versions() -> Iterator[Finding]:
    """Name the versions of what runs."""
    text = f"pluto-proxy {__version__}, Python {platform.python_version()}, aiohttp {aiohttp.__version__}"
    yield fine("versions", f"{text}, SQLite {sqlite3.sqlite_version}")


def check_key(loaded: LoadedConfig) -> Iterator[Finding]:
    """Look at the shared key, and at the mode of its file."""
    if loaded.key is None:
        if loaded.config.upstream.offline:
            yield fine("key", "none, and none is needed: the proxy is offline")
        else:
            todo = "set PLUTO_API_KEY, or PLUTO_API_KEY_FILE to a file that holds it"
            yield Finding(check="key", state=State.FAULT, text="there is none", todo=todo)
        return
    try:
        fingerprint = read_source(loaded.key).key.fingerprint
    except ConfigError as exc:
        yield Finding(
            check="key",
            state=State.FAULT,
            text=exc.faults[0],
            todo="put a key of pluto-api there: it begins with mlpi_ or mlps_",
        )
        return
    yield fine("key", f"from {_source(loaded.key)}, fingerprint {fingerprint[:8]}...")
    if loaded.key.path is not None:
        yield from check_mode("key file", loaded.key.path, OTHERS, "chmod o= ")


def _source(key: KeySource) -> str:
    return "PLUTO_API_KEY" if key.path is None else f"PLUTO_API_KEY_FILE ({key.path})"


def check_variables(loaded: LoadedConfig) -> Iterator[Finding]:
    """Look for variables that set a proxy for other programs."""
    proxy = loaded.config.upstream.proxy
    if loaded.ignored:
        yield Finding(
            check="http proxy",
            state=State.ADVICE,
            text=f"{', '.join(loaded.ignored)} set, and not used",
            todo="set upstream.proxy if pluto-api is reached by a proxy only",
        )
    elif proxy is None:
        yield fine("http proxy", "none")
    else:
        yield fine("http proxy", f"{proxy} (upstream.proxy)")


def check_store(config: Config) -> Iterator[Finding]:
    """Look at the cache file, its directory, and the space that they may take."""
    path = config.cache.path
    folder = path.parent
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as exc:
        todo = f"give this user the right to write in {there}, or set cache.path to a file elsewhere"
        yield Finding(check="store", state=State.FAULT, text=f"{there} cannot be written: {exc.strerror}", todo=todo)
        return
    yield from _check_file(path)
    if there == folder:
        yield from _check_folder(folder)
    yield from _check_space(config, there)


def _check_file(path: Path) -> Iterator[Finding]:
    if not path.exists():
        yield fine("store", f"{path} will be made")
        return
    try:
        newer, reason = newer_than_this(path), reason_against(path)
    except OSError as exc:
        yield Finding(
            check="store",
            state=State.FAULT,
            text=f"{path} cannot be read: {exc.strerror}",
            todo=f"chown it to uid {os.getuid()}",
        )
        return
    if newer is not None:
        todo = "run that version, or set cache.path to another file: serving refuses it"
        yield Finding(check="store", state=State.FAULT, text=f"{path} cannot be used: {newer}", todo=todo)
        return
    if reason is not None:
        todo = "move it away, or set cache.path to another file: serving sets it aside"
        yield Finding(check="store", state=State.ADVICE, text=f"{path} cannot be used: {reason}", todo=todo)
        return
    if not os.access(path, os.W_OK):
        yield Finding(check="store", state=State.FAULT, text=f"{path} cannot be written", todo=f"chown it to uid {os.getuid()}")
        return
    yield fine("store", f"{path}, {size(_whole_size(path))}")
    yield from check_mode("store mode", path, _OTHERS_AND_GROUP, "chmod 600 ")


def _check_folder(folder: Path) -> Iterator[Finding]:
    mode = folder.stat().st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
        text = f"{folder} may be written by others (mode {stat.S_IMODE(mode):04o}): serving refuses it"
        yield Finding(check="store folder", state=State.FAULT, text=text, todo=f"chmod 700 {folder}")
    else:
        yield from check_mode("store folder", folder, _OTHERS_AND_GROUP, "chmod 700 ")


def _check_space(config: Config, folder: Path) -> Iterator[Finding]:
    free, quota = shutil.disk_usage(folder).free, int(config.cache.max_bytes)
    wanted = max(0, quota - _whole_size(config.cache.path))
    text = f"{size(free)} free, {size(wanted)} more may be used (cache.max_bytes {size(quota)})"
    if free < wanted:
        todo = "make room, or lower cache.max_bytes: nothing is written to a full disk"
        yield Finding(check="space", state=State.ADVICE, text=text, todo=todo)
    else:
        yield fine("space", text)


def _whole_size(path: Path) -> int:
    try:
        return sum(size_of(Path(f"{path}{suffix}")) for suffix in ("", *COMPANIONS))
    except OSError:
        return 0


def check_mode(check: str, path: Path, forbidden: int, command: str) -> Iterator[Finding]:
    """Say whether others may do with a file what only its owner should."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as exc:
        yield Finding(
            check=check, state=State.FAULT, text=f"{path}: {exc.strerror}", todo="give this user the right to read it"
        )
        return
    if mode & forbidden:
        yield Finding(
            check=check, state=State.ADVICE, text=f"others may read {path} (mode {mode:04o})", todo=f"{command}{path}"
        )
    else:
        yield fine(check, f"{path}, mode {mode:04o}")


def check_access(config: Config) -> Iterator[Finding]:
    """Say who may ask, and whether the token file can be used."""
    access = config.access
    if access.tokens_file is not None:
        try:
            tokens = read_tokens(access.tokens_file)
        except TokenFileError as exc:
            todo = "`pluto-proxy token add NAME` makes the file and its first token"
            yield Finding(check="access", state=State.FAULT, text=str(exc), todo=todo)
            return
        now_s = time.time()
        good = sum(token.expires_at_s is None or token.expires_at_s > now_s for token in tokens)
        if good:
            yield fine("access", f"{good} of {len(tokens)} tokens are good ({access.tokens_file})")
        else:
            todo = "`pluto-proxy token add NAME` makes one"
            yield Finding(check="access", state=State.ADVICE, text="there is no good token: nobody may ask", todo=todo)
    elif access.open:
        todo = "set access.tokens_file or access.networks unless everybody may read what the key can"
        yield Finding(check="access", state=State.ADVICE, text="whoever can connect may ask (access.open)", todo=todo)
    elif access.networks:
        yield fine("access", f"clients of {len(access.networks)} networks may ask")
    else:
        yield fine("access", "whoever is on this machine may ask")


def check_descriptors(config: Config) -> Iterator[Finding]:
    """Compare the most files that a process may have open with what the connections need."""
    wanted = config.server.max_connections + config.upstream.max_connections + _OWN_DESCRIPTORS
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        text = f"{hard} files may be open, server.max_connections needs {wanted}: there will be fewer connections"
        todo = "raise the limit (ulimit -Hn, LimitNOFILE=), or lower server.max_connections"
        yield Finding(check="files", state=State.ADVICE, text=text, todo=todo)
    else:
        yield fine("files", f"{wanted} may be open at once")
