"""The upstream's own Python client, run in an interpreter of its own, which alone sees its packages."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PACKAGES = Path(sys.prefix) / "client"
PATIENCE_S = 60
ANY = "mlpi_standin_key"
Call = tuple[str, list[Any]]
_SCRIPT = """
import inspect, json, pathlib, sys, warnings
warnings.simplefilter("ignore")
from pluto.query import Client, QueryError
answers, refusals, folder = {}, [], pathlib.Path(sys.argv[2])
with Client(api_token=sys.argv[4], host=sys.argv[1] or None) as client:
    for name, arguments in json.loads(sys.argv[3]):
        arguments = [str(folder / item[1:]) if isinstance(item, str) and item[:1] == "@" else item for item in arguments]
        keywords = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
        try:
            answer = getattr(client, name)(*arguments, **keywords)
        except QueryError as exc:
            answer = {"status": exc.status_code}
            if exc.status_code in (401, 405):
                refusals.append(str(exc))
        answers.setdefault(name, []).append(answer if not isinstance(answer, pathlib.Path) else answer.read_bytes().hex())
public = [name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")]
print(json.dumps({"answers": answers, "public": public, "refusals": refusals}))
"""


async def run_client(url: str, folder: Path, calls: Sequence[Call], *, token: str = ANY, **variables: str) -> Any:
    """Return what the client's user sees.

    `answers` is what each method returned, by its name, in order; `public` the names of all public methods; `refusals` the
    messages of the errors where the token or the method was refused. Without a `url` none is given for the host, and the
    `variables` say where things are. A text among the arguments that begins with `@` is a path in `folder`;
    a table at the end are keyword arguments.
    """
    # Its HTTP library doesn't put up with a file without certificates, which is what the tests have for the system's.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PLUTO_", "MLOP_", "SSL_CERT_FILE"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _SCRIPT,
        url,
        str(folder),
        json.dumps(calls),
        token,
        env=kept | {"PYTHONPATH": str(PACKAGES)} | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return json.loads(output)
