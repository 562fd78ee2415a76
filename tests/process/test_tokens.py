"""`pluto-proxy token` as an operator meets it, and pluto-api's own client with what it made."""

import json
import re
import stat
import time
from pathlib import Path

import aiohttp
import pytest

from proxy.cli import main
from proxy.standin import Standin, StandinConfig
from tests.support.pluto_client import ANY, run_client
from tests.support.processes import proxy_process, run
from tests.support.world import DATA, KEY, QUESTION, world

FILE = "PLUTO_PROXY_ACCESS__TOKENS_FILE"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "access" / "tokens.json"
    monkeypatch.setenv(FILE, str(path))
    return path


def token(*arguments: str) -> int:
    """Run the command in this process; a faulty command line ends it, as it ends the program."""
    try:
        return main(["token", *arguments])
    except SystemExit as exc:
        return int(exc.code or 0)


def test_add_list_revoke(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The token is all that goes to standard output, and is nowhere else; each has a line; what is revoked is gone."""
    assert token("add", "grafana", "--project", "b", "--project", "a \x1b[1m", "--expires", "2100-01-31") == 0
    added = capfd.readouterr()
    assert re.fullmatch(r"ppt_[A-Za-z0-9_-]{43}\n", added.out)
    assert "grafana" in added.err
    assert added.out.strip() not in added.err + path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token("add", "ops", "--admin") == 0
    assert token("add", "old") == 0
    path.write_text(path.read_text().replace('"expires_at_s": null\n    }\n  ]', '"expires_at_s": 5\n    }\n  ]'))
    capfd.readouterr()
    assert token("list") == 0
    lines = [re.split(r" {2,}", line) for line in capfd.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["name", "grafana", "ops", "old"]
    assert lines[1][2:] == ["2100-01-31T00:00:00Z", r'"a \u001b[1m", "b"']
    assert lines[2][2:] == ["never", "all projects, and to manage the proxy"]
    assert lines[3][2:] == ["1970-01-01T00:00:05Z (over)", "all projects"]
    assert token("revoke", "grafana") == 0
    assert token("revoke", "grafana") == 1
    assert "no token is called 'grafana'" in capfd.readouterr().err
    assert [one["name"] for one in json.loads(path.read_text())["tokens"]] == ["ops", "old"]


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (["add"], 2, "NAME"),
        (["add", "a b"], 2, "letters, digits"),
        (["add", ""], 2, "letters, digits"),
        (["add", "-x"], 2, ""),
        (["add", "x" * 65], 2, "64"),
        (["add", "x", "--project", ""], 2, "must not be empty"),
        (["add", "x", "--project", "\udcff"], 2, "UTF-8"),
        (["add", "x", "--project", "p", "--admin"], 2, "exclude each other"),
        (["add", "x", "--expires", "soon"], 2, "30d"),
        (["add", "x", "--expires", "2020-01-01"], 2, "over already"),
        (["add", "x", "--expires", "0s"], 2, "over already"),
        (["add", "x", "--expires", "1900-01-01"], 2, "1970"),
        (["add", "x", "--expires", "999999999w"], 2, "9999"),
        (["add", "taken"], 1, "already"),
        (["revoke", "nobody"], 1, "nobody"),
        (["list", "--config", "/nowhere.toml"], 2, "/nowhere.toml"),
        ([], 2, "ACTION"),
    ],
)
def test_faults(path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], status: int, word: str) -> None:
    """2 for a faulty command line or configuration, 1 where it failed; always a line that says why, and nothing is changed."""
    assert token("add", "taken", "--expires", "1h") == 0
    before = path.read_bytes()
    capfd.readouterr()
    assert token(*arguments) == status
    said = capfd.readouterr()
    assert word in said.err
    assert said.out == ""
    assert path.read_bytes() == before


def test_without_a_file(path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One that isn't there can be made but not read; one that isn't configured has to be."""
    for arguments in (["list"], ["revoke", "x"]):
        assert token(*arguments) == 1
        assert "No such file" in capfd.readouterr().err
    monkeypatch.delenv(FILE)
    assert token("add", "x") == 2
    assert "access.tokens_file is not set" in capfd.readouterr().err
    assert not path.exists()


@pytest.mark.parametrize("expires", ["90s", "5m", "12h", "30d", "8w", "2100-01-31T12:00+02:00", "2100-01-31 12:00"])
def test_times(path: Path, expires: str) -> None:
    """Spans and moments; a moment without a zone is UTC."""
    assert token("add", "x", "--expires", expires) == 0
    [made] = json.loads(path.read_text())["tokens"]
    span = {"90s": 90, "5m": 300, "12h": 43_200, "30d": 2_592_000, "8w": 4_838_400}.get(expires)
    moment = {"2100-01-31T12:00+02:00": 4_105_072_800, "2100-01-31 12:00": 4_105_080_000}.get(expires)
    if span is not None:
        assert span <= made["expires_at_s"] - made["created_at_s"] <= span + 60
        assert made["expires_at_s"] - made["created_at_s"] < span + 5
    else:
        assert made["expires_at_s"] == moment


async def test_a_proxy_that_needs_tokens(tmp_path: Path) -> None:
    """It doesn't begin without its file, and says how to make it; a token made while it runs is good, and revoked isn't."""
    standin = Standin()
    standin.rows.load_csv(DATA / "rows.csv.gz")
    path = tmp_path / "access" / "tokens.json"
    variables = {"PLUTO_API_KEY": KEY, FILE: str(path), "PLUTO_PROXY_CACHE": str(tmp_path / "cache" / "c")}
    for command in ("serve", "check"):
        status, output, errors = await run(command, **variables)
        assert (status, output, len(errors.splitlines())) == (2, "", 1)
        assert "pluto-proxy token add" in errors
    status, secret, _ = await run("token", "add", "first", **variables)
    assert status == 0
    # Who may ask is said: it may listen on any address.
    variables["PLUTO_PROXY_LISTEN"] = "0.0.0.0:0"
    async with (
        standin.serve() as upstream,
        proxy_process(PLUTO_PROXY_UPSTREAM=upstream, **variables) as running,
        aiohttp.ClientSession() as session,
    ):
        question = running.url.replace("0.0.0.0", "127.0.0.1") + QUESTION  # noqa: S104 -- its address, not ours
        headers = {"Authorization": f"Bearer {secret.strip()}"}
        async with session.get(question, headers=headers) as reply:
            assert reply.status == 200
        async with session.get(question) as reply:
            assert reply.status == 401
        assert (await run("token", "revoke", "first", **variables))[0] == 0
        revoked_s, status = time.monotonic(), 200
        while status == 200 and time.monotonic() < revoked_s + 10:
            async with session.get(question, headers=headers) as reply:
                status = reply.status
        assert status == 401
        assert time.monotonic() < revoked_s + 2
        await running.terminate()
    assert secret.strip() not in running.log


async def test_the_client_of_pluto_api(tmp_path: Path, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It works unchanged with a token in its key's place, sees what the token sees, and is told clearly what it may not."""
    assert token("add", "team", "--project", "demo") == 0
    secret = capfd.readouterr().out.strip()
    standin = Standin(StandinConfig())
    standin.rows.load_csv(DATA / "rows.csv.gz")
    standin.catalogue.add(4_000, project="secret")
    calls: list[tuple[str, list[object]]] = [
        ("list_projects", []),
        ("get_metrics", ["demo", 1, {"metric_names": ["loss"], "limit": 100}]),
        ("get_run", ["demo", 1]),
        ("get_run", ["secret", 4_000]),
        ("list_runs", ["secret"]),
    ]
    async with world(tmp_path, standin=standin, access__tokens_file=path) as running:
        seen = (await run_client(running.url, tmp_path, calls, token=secret))["answers"]
        directly = (await run_client(running.upstream, tmp_path, calls[:3]))["answers"]
        assert [project["name"] for project in seen["list_projects"][0]] == ["demo"]
        assert seen["get_metrics"] == directly["get_metrics"]
        assert seen["get_run"] == [directly["get_run"][0], {"status": 404}]
        assert seen["list_runs"] == [{"status": 404}]
        # The error that its user reads says what is wrong with the token (not known, revoked, none of ours), not the token.
        not_known = "the token is not one of this proxy's, or was revoked; its operator gives out new ones"
        wrong = {"ppt_unknown": not_known, secret: not_known, ANY: "a key of pluto-api; this proxy has tokens of its own"}
        assert token("revoke", "team") == 0
        running.advance(2)
        for sent, told in wrong.items():
            seen = await run_client(running.url, tmp_path, calls[:2], token=sent)
            assert seen["answers"] == {"list_projects": [{"status": 401}], "get_metrics": [{"status": 401}]}
            assert len(seen["refusals"]) == 2
            for refusal in seen["refusals"]:
                assert told in refusal
                assert sent not in refusal
