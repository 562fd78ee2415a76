"""What has the documented shape and what has not."""

import json

import pytest

from proxy.core.question.shapes import check_metrics

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
