"""The proxy, started with what a container would find, in a folder: what `deploy/check` asks for. Not a test by itself.

`python -m tests.deployment.containers COMPOSE MANIFESTS...`: COMPOSE is what `docker-compose config --format json` printed,
MANIFESTS are files that the chart was rendered to. It needs what `make deployment` installs.

Directories have the modes that a container's have: what is written to belongs to somebody else and is open to the group, and a
Secret is a folder of links that everybody may add to.
"""

import asyncio
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import yaml

from tests.deployment import DEPLOY
from tests.support.processes import proxy_process
from tests.support.tokens import token, write
from tests.support.world import KEY

DATA, SECRET, SECRETS, CONFIG = "/var/lib/pluto-proxy", "/run/pluto-proxy", "/run/secrets", "/etc/pluto-proxy"
TOKENS = "PLUTO_PROXY_ACCESS__TOKENS_FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What a container is started with; `config` is the text of its configuration, which the arguments name."""

    name: str
    variables: Mapping[str, str]
    arguments: tuple[str, ...] = ("serve",)
    config: str = ""
    # Whether its tokens come with its secret. Otherwise they are made in it.
    given_tokens: bool = field(default=False)


def built_in() -> dict[str, str]:
    """Return the image's own variables."""
    return dict(re.findall(r"\b(PLUTO_PROXY_\w+)=(\S+)", (DEPLOY / "container" / "Containerfile").read_text()))


def image() -> Container:
    """Return the image by itself, open to everybody: it does not start before it is told who may ask."""
    return Container(name="image", variables=built_in() | {"PLUTO_PROXY_ACCESS__OPEN": "true", "PLUTO_API_KEY": KEY})


def composed(path: Path) -> Container:
    """Return the service of the compose file, whose variables win over the image's."""
    service = json.loads(path.read_text())["services"]["pluto-proxy"]
    ours = {
        name: value for name, value in image().variables.items() if name not in {"PLUTO_PROXY_ACCESS__OPEN", "PLUTO_API_KEY"}
    }
    return Container(name="compose", variables=ours | service["environment"])


def deployed(path: Path) -> Container:
    """Return the container of the Deployment in a file of manifests."""
    parts = {part["kind"]: part for part in yaml.safe_load_all(path.read_text())}
    [container] = parts["Deployment"]["spec"]["template"]["spec"]["containers"]
    return Container(
        name=path.stem,
        variables={variable["name"]: variable["value"] for variable in container["env"]},
        arguments=tuple(container["args"]),
        config=parts["ConfigMap"]["data"]["pluto-proxy.toml"],
        given_tokens=True,
    )


def placed(container: Container, folder: Path) -> Container:
    """Lay out the container's directories in a folder, and return it with paths that lead there."""
    for name, mode in {"data": 0o2770, "secret": 0o1777, "config": 0o755}.items():
        (folder / name).mkdir()
        (folder / name).chmod(mode)
    inner = folder / "secret" / "..inner"
    inner.mkdir(mode=0o755)
    for name in ("api-key", "pluto_api_key"):
        (inner / name).write_text(KEY)
        (inner / name).chmod(0o440)
        (folder / "secret" / name).symlink_to(f"..inner/{name}")
    (folder / "config" / "pluto-proxy.toml").write_text(container.config)
    places = {DATA: "data", SECRET: "secret", SECRETS: "secret", CONFIG: "config"}

    def there(text: str) -> str:
        for path, name in places.items():
            text = re.sub(rf"^{path}/", f"{folder}/{name}/", text)
        return text

    return replace(
        container,
        variables={name: there(value) for name, value in container.variables.items()}
        | {"PLUTO_PROXY_LISTEN": "0.0.0.0:0", "PLUTO_PROXY_UPSTREAM": "http://127.0.0.1:9", "HOME": "/nonexistent"},
        arguments=tuple(map(there, container.arguments)),
    )


def make_token(container: Container) -> None:
    """Make a token, as whoever runs the proxy does, if it takes tokens."""
    if TOKENS not in container.variables:
        return
    path = Path(container.variables[TOKENS])
    if not container.given_tokens:
        write(path, token("somebody"))
        return
    made = path.parents[1] / "made" / "tokens.json"
    write(made, token("somebody"))
    inner = path.parent / "..inner" / path.name
    inner.write_bytes(made.read_bytes())
    inner.chmod(0o440)
    path.symlink_to(f"..inner/{path.name}")


async def start(container: Container) -> None:
    """Start the proxy in a folder and look whether it answers by the names that it has, and uses its cache file."""
    with TemporaryDirectory() as name:
        there = placed(container, Path(name))
        make_token(there)
        hosts = ["localhost", *filter(None, there.variables.get("PLUTO_PROXY_SERVER__ALLOWED_HOSTS", "").split(","))]
        async with proxy_process(*there.arguments, **there.variables) as proxy, aiohttp.ClientSession() as session:
            address = proxy.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 -- what it says it listens on
            for host in hosts:
                async with session.get(f"{address}/api/runs/projects", headers={"Host": host}) as response:
                    # Whoever it is, the host is right; nobody is there to ask.
                    assert response.status in {401, 403, 502}, await response.text()
            async with session.get(f"{address}/readyz") as response:
                lines = (await response.text()).splitlines()
                assert response.status == 200
                assert lines[0] == "ok"
                assert all(line.startswith("pluto-api: ") for line in lines[1:]), lines
        assert (Path(name) / "data" / "cache" / "cache.sqlite").exists()


async def start_or_end(container: Container) -> None:
    """Start a container; end this process, with its name, if it does not do what it should."""
    try:
        await start(container)
    except AssertionError as exc:
        sys.exit(f"{container.name}: {exc}")


async def main(compose: str, *manifests: str) -> None:
    """Start all containers, at the same time."""
    containers = [image(), composed(Path(compose)), *map(deployed, map(Path, manifests))]
    await asyncio.gather(*map(start_or_end, containers))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
