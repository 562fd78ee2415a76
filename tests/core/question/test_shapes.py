"""What has the documented shape and what has not."""

import json

import pytest

from proxy.core.question.shapes import check_batch, check_metrics

ROW = {"logName": "loss", "logGroup": "", "value": 1, "valueFlag": "", "time": "2026-01-01 00:00:00.000", "step": 1}


def body(**changes: object) -> bytes:
    return json.dumps({"metrics": [ROW, {**ROW, **changes}]}).encode()


@pytest.mark.parametrize(
    "good",
    [
        b'{"metrics":[]}',
        body(),
        body(step="18446744073709551615"),
        body(step=18446744073709551615),
        body(value=0.5),
        body(value=123456789012345678901),
        body(unknown={"a": [1]}),
        b'{"metrics":[],"more":{"nested":[null]}}',
        json.dumps({"metrics": [{name: value for name, value in ROW.items() if name != "valueFlag"}]}).encode(),
    ],
)
def test_accepted(good: bytes) -> None:
    """The published schema, the running code's answers, and what may be added to them."""
    check_metrics(good)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b"{}",
        b'{"runs":[]}',
        b'{"metrics":{}}',
        b'{"metrics":[1]}',
        b'{"metrics":[{"foo":1}]}',
        body()[:-1],
        body() + b"x",
        body(step=None),
        body(step="1.5"),
        body(step=1.5),
        body(value="1"),
        body(value=None),
        body(logName=None),
        body().replace(b"loss", b"l\xffss"),
    ],
)
def test_refused(bad: bytes) -> None:
    """Cut, foreign or malformed bodies; the message quotes nothing of them."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- the message differs by case
        check_metrics(bad)
    assert "loss" not in str(caught.value)


COLUMNS = {name: [1] for name in ("steps", "times", "values", "minYs", "maxYs", "counts", "nfFlags")}


def batch(**changes: object) -> bytes:
    return json.dumps({"loss": {"Uk": COLUMNS, "MMP-1": {**COLUMNS, **changes}}, "é": {}}).encode()


def test_batches() -> None:
    """Objects of objects of columns, whatever is in these; the series are counted."""
    for good, series in ((b"{}", 0), (batch(), 2), (batch(more=1, values=[None, 1e300]), 2), (batch(steps=["1"]), 2)):
        assert check_batch(good) == series
    short = {name: column for name, column in COLUMNS.items() if name != "counts"}
    for bad in (
        b"[]",
        b'{"error":"Not found"}',
        b'{"loss":[]}',
        b'{"loss":{"Uk":[]}}',
        json.dumps({"loss": {"secret": short}}).encode(),
        batch(values="secret"),
        batch(nfFlags=None),
        batch()[:-1],
        b'{"l\xffss":{}}',
        b'{"loss":{"Uk":' + b'{"a":' * 5000 + b"1" + b"}" * 5002,
    ):
        with pytest.raises(ValueError) as caught:  # noqa: PT011 -- the message differs by case
            check_batch(bad)
        assert "secret" not in str(caught.value)
