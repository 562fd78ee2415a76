"""Keys, paths and heads are treated as upstream."""

import pytest

from proxy.standin import Key, KeyStatus, Organization, Row

from .support import KEY, Caller, raw_exchange

QUERY = "runId=1&projectName=demo"
VALIDATE = "/api/runs/auth/validate"
REFUSED = {
    "": None,
    "mlpi_standin_key": None,
    "Bearer": None,
    "Bearer  mlpi_standin_key": None,
    "Bearer sk_standin": "Invalid API key",
    "Bearer mlpi_unknown": "Key not found",
    "Bearer mlpi_standin_expired": "API key has expired",
    "Bearer mlpi_standin_revoked": "API key has been revoked",
}


@pytest.mark.parametrize("path", ["/api/runs/metrics", VALIDATE])
@pytest.mark.parametrize(("header", "message"), REFUSED.items())
async def test_a_key_is_refused_before_the_parameters(caller: Caller, path: str, header: str, message: str | None) -> None:
    """401 in the upstream's words, whatever the query."""
    reply = await caller.ask("limit=x", path=path, headers={"Authorization": header})
    assert reply.status == 401
    assert reply.json == {"error": "Unauthorized"} | ({"message": message} if message else {})


async def test_validate_names_the_key_s_organization(caller: Caller) -> None:
    """A rotated key belongs to the same organization as the first one."""
    expected = {"valid": True, "organization": {"id": "org_demo", "slug": "demo"}, "user": {"id": "user_standin"}}
    assert (await caller.ask(None, path=VALIDATE)).json == expected
    rotated = {"Authorization": "Bearer mlps_standin_rotated"}
    assert (await caller.ask(None, path=VALIDATE, headers=rotated)).json == expected


async def test_another_organization_sees_its_own_rows_only(caller: Caller) -> None:
    """The same run id and project of another tenant are invisible."""
    caller.standin.rows.insert([Row(run_id=1, log_name="loss", step=0, value=42, tenant="org_other")])
    other = {"Authorization": "Bearer mlpi_standin_other"}
    assert [row["value"] for row in (await caller.ask(QUERY, headers=other)).metrics] == [42]
    assert len((await caller.ask(QUERY)).metrics) == 10


async def test_keys_change_at_run_time(caller: Caller) -> None:
    """A key may be revoked, forgotten, added and brought back."""
    keys = caller.standin.keys
    keys.revoke("mlpi_standin_key")
    assert (await caller.ask(QUERY)).json["message"] == "API key has been revoked"
    keys.set_status("mlpi_standin_key", KeyStatus.ACTIVE)
    assert (await caller.ask(QUERY)).status == 200
    keys.remove("mlpi_standin_key")
    assert (await caller.ask(QUERY)).json["message"] == "Key not found"
    keys.add(Key(text="mlpi_standin_key", organization=Organization(id="org_new", slug="new")))
    assert (await caller.ask(QUERY)).metrics == []


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/api/runs/Metrics", 200, '{"runId":44088422818}'),
        ("/api/runs/metrics%2F", 200, "{}"),
        ("/API/runs/metrics", 404, "404 Not Found"),
        ("/api/runs/", 308, "/api/runs?" + QUERY),
        ("/api//runs/metrics", 308, "/api/runs/metrics?" + QUERY),
        ("/api/runs/a/b", 404, "404 Not Found"),
        ("/a%0Ab", 404, "404 Not Found"),
        ("/api/runs/details/1/2", 404, "404 Not Found"),
    ],
)
async def test_paths_are_matched_as_they_came(caller: Caller, path: str, status: int, body: str) -> None:
    """Case and escapes matter; doubled and trailing slashes are repaired by the client; no key is asked for."""
    reply = await caller.ask(QUERY, path=path, headers={})
    assert (reply.status, reply.body.decode()) == (status, body)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_other_methods_find_nothing(caller: Caller, method: str) -> None:
    """Nothing is ever written through the metrics' path."""
    assert (await caller.ask(QUERY, method=method)).status == 404


async def test_a_head_runs_the_query_and_sends_no_body(caller: Caller) -> None:
    """Its status is the GET's."""
    reply = await caller.ask(QUERY, method="HEAD")
    assert (reply.status, reply.body) == (200, b"")
    assert "Content-Length" not in reply.headers
    assert (await caller.ask("runId=-1&projectName=demo", method="HEAD")).status == 500


async def test_a_head_over_16_kib_is_refused(caller: Caller) -> None:
    """431, and the connection ends."""
    assert (await caller.ask(QUERY + "&x=" + "y" * 8500)).status == 200
    reply = await caller.ask(QUERY + "&x=" + "y" * 17000)
    assert (reply.status, reply.headers["Connection"]) == (431, "close")


async def test_a_raw_target_reaches_the_query_unaltered(caller: Caller) -> None:
    """A stray percent sign stays one; a client that asks for the connection's end gets it."""
    caller.standin.rows.insert([Row(run_id=1, log_name='lo%ss "', step=0, value=7)])
    target = b'/api/runs/metrics?runId=1&projectName=demo&logName=lo%ss+"'
    head = b"Host: localhost\r\nConnection: close\r\nAuthorization: " + KEY["Authorization"].encode()
    answer = await raw_exchange(caller.url, b"GET " + target + b" HTTP/1.1\r\n" + head + b"\r\n\r\n")
    assert b'"value":7' in answer
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip", "gzip"), ("deflate", "deflate"), ("deflate, gzip;q=0", "gzip"), ("br", None), ("*", None)],
)
async def test_bodies_are_encoded_on_request(caller: Caller, accepted: str, encoding: str | None) -> None:
    """gzip before deflate, qualities unread, never a Vary: Accept-Encoding."""
    reply = await caller.ask(QUERY, headers=KEY | {"Accept-Encoding": accepted})
    assert reply.headers.get("Content-Encoding") == encoding
    assert len(reply.metrics) == 10
    assert not any("encoding" in value.lower() for value in reply.headers.getall("Vary"))


async def test_bodies_can_be_left_as_they_are(caller: Caller) -> None:
    """Without `gzip` nothing is encoded, for whoever counts bytes."""
    caller.standin.gzip = False
    reply = await caller.ask(QUERY, headers=KEY | {"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in reply.headers
    assert caller.standin.counters.bytes_sent == len(reply.body)


async def test_private_headers_are_sent(caller: Caller) -> None:
    """What a proxy must not hand on is always there to be stripped."""
    reply = await caller.ask(QUERY)
    assert reply.headers["Set-Cookie"] == "session=standin; Path=/"
    assert reply.headers["Server"] == "standin"
    assert reply.headers["Transfer-Encoding"] == "chunked"
    assert not {"ETag", "Cache-Control", "Last-Modified", "Content-Length"} & set(reply.headers)
