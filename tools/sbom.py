"""The wheel's bill of materials (PEP 770), in CycloneDX JSON: what it brings along, and what it is used with.

    python tools/sbom.py    prints it

uPlot is brought along, with the hash of what was fetched. The Python packages are those of `requirements.lock` that serving
takes; an installer may choose other releases, within the wheel's own bounds. It has neither a time nor a random number, so that
the same files make the same bytes.
"""

import base64
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
NAME = "pluto-proxy"
LICENSE = "Apache-2.0"
FILE = "pluto-proxy.cdx.json"
_UPLOT = "node_modules/uplot"
_SELF = "pluto-proxy (pyproject.toml)"
_PIN = re.compile(r"^([\w.-]+)(?:\[[\w,-]+\])?==(\S+?)(?: ; ([^\\\n]+?))?(?: \\)?$")
_VIA = re.compile(r"^    #(?: via)? +(\S.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """A package of the lock file. `via` names who asks for it; `marker` says for which machines, None for all."""

    name: str
    version: str
    marker: str | None
    via: tuple[str, ...]

    @property
    def purl(self) -> str:
        """The package's URL, which names it in the bill."""
        return f"pkg:pypi/{self.name}@{self.version}"


def locked(lock: str) -> Iterator[Locked]:
    """Yield the packages of a lock file, as `make lock` writes it."""
    name = version = ""
    marker: str | None = None
    via: list[str] = []
    for line in lock.splitlines():
        if (pin := _PIN.match(line)) is not None:
            if name:
                yield Locked(name=name, version=version, marker=marker, via=tuple(via))
            name, version, marker, via = pin[1], pin[2], pin[3], []
        elif name and (asking := _VIA.match(line)) is not None:
            via.append(asking[1])
    if name:
        yield Locked(name=name, version=version, marker=marker, via=tuple(via))


def serving(lock: str) -> dict[str, Locked]:
    """Return the packages that serving takes, by name: those that the proxy asks for, and what these ask for."""
    all_of_them = {one.name: one for one in locked(lock)}
    taken: dict[str, Locked] = {}
    while more := {
        name: one for name, one in all_of_them.items() if name not in taken and not {_SELF, *taken}.isdisjoint(one.via)
    }:
        taken |= more
    return dict(sorted(taken.items()))


def bill(version: str, root: Path = ROOT) -> dict[str, object]:
    """Return the bill of a release. Raises OSError, ValueError and KeyError where the lock files don't say what it takes."""
    packages = serving((root / "requirements.lock").read_text(encoding="utf-8"))
    if not packages:
        raise ValueError("requirements.lock names nothing that pluto-proxy asks for")
    page = json.loads((root / "package-lock.json").read_text(encoding="utf-8"))["packages"][_UPLOT]
    uplot = f"pkg:npm/uplot@{page['version']}"
    own = f"pkg:pypi/{NAME}@{version}"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": NAME,
                "version": version,
                "licenses": [{"license": {"id": LICENSE}}],
                "purl": own,
            }
        },
        "components": [
            {
                "type": "library",
                "bom-ref": uplot,
                "name": "uplot",
                "version": page["version"],
                "description": "Its files lie in the wheel, in proxy/page/vendor.",
                "scope": "required",
                "hashes": [_hash_of(page["integrity"])],
                "licenses": [{"license": {"id": page["license"]}}],
                "purl": uplot,
            },
            *map(_component, packages.values()),
        ],
        "dependencies": [
            {"ref": own, "dependsOn": sorted([uplot, *_asked_by(_SELF, packages)])},
            {"ref": uplot},
            *({"ref": one.purl, "dependsOn": _asked_by(one.name, packages)} for one in packages.values()),
        ],
    }


def text_of(version: str, root: Path = ROOT) -> str:
    """Return the bill of a release as it stands in the wheel. Raises what bill() does."""
    return json.dumps(bill(version, root), indent=2) + "\n"


def _component(one: Locked) -> dict[str, object]:
    for_some = {} if one.marker is None else {"description": f"Only where {one.marker}."}
    scope = "required" if one.marker is None else "optional"
    return {
        "type": "library",
        "bom-ref": one.purl,
        "name": one.name,
        "version": one.version,
        **for_some,
        "scope": scope,
        "purl": one.purl,
    }


def _asked_by(name: str, packages: Mapping[str, Locked]) -> list[str]:
    return [one.purl for one in packages.values() if name in one.via]


def _hash_of(integrity: str) -> dict[str, str]:
    """Return npm's hash of a package as CycloneDX writes it. Raises ValueError for one of another kind."""
    kind, _, encoded = integrity.partition("-")
    if kind != "sha512":
        raise ValueError(f"package-lock.json has a hash of uPlot by {kind}")
    return {"alg": "SHA-512", "content": base64.b64decode(encoded, validate=True).hex()}


def main() -> int:
    """See the module's docstring. Return the exit status."""
    found = re.search(r'__version__ = "(.+)"', (ROOT / "proxy" / "__init__.py").read_text(encoding="utf-8"))
    sys.stdout.write(text_of(found[1] if found else "0"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
