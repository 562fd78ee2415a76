"""Every spelling of one question has one target, and no two questions share one."""

from urllib.parse import parse_qsl, quote

import pytest

from proxy.core.question.query import MAX_TARGET_BYTES, Query, read_query
from proxy.core.question.routes import METRICS
from proxy.errors import BadQuery, QueryTooLong

BASE = "projectName=demo&logName=loss"


def read(raw: str) -> Query:
    return read_query(METRICS, raw, ignored=("_", "t", "cb"), extra=("smooth",))


def faulty(raw: str) -> dict[str, str]:
    with pytest.raises(BadQuery) as caught:
        read(raw)
    return {fault.parameter: fault.message for fault in caught.value.faults}


def test_the_target_is_canonical() -> None:
    """Parameters stand in one order, numbers in one spelling, the default limit is written out."""
    assert read("stepMax=0x10&logName=a/b&projectName=p+q&runId=1e1").target == (
        "/api/runs/metrics?runId=10&projectName=p%20q&logName=a/b&limit=2000&stepMax=16"
    )


@pytest.mark.parametrize(
    "run_id",
    ["1", "1.0", "1e0", "%201%20", "+1", "%2B1", "01", "0x1", "0X01", "0b1", "0o1", ".1e1", "%EF%BB%BF1", "%C2%A01%0A", "1."],
)
def test_spellings_of_a_number(run_id: str) -> None:
    """Each of these is run 1 upstream."""
    assert read(f"runId={run_id}&{BASE}").target == read(f"runId=1&{BASE}").target


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("runId=1", "runId=1&limit=2000"),
        ("runId=1", "limit=2e3&runId=1"),
        ("runId=1", "runId=1&stepMin=0"),
        ("runId=1", "runId=1&stepMin="),
        ("runId=1", "runId=1&stepMin=-0"),
        ("runId=1", "runId=1&logGroup="),
        ("runId=1", "%72unId=1"),
        ("runId=1", "runId=1&&&"),
        ("runId=1", "runId=1&=x"),
        ("runId=1", "runId=1&_=1732348800&t=5&cb=x"),
        ("runId=1", "runId=1&what=ever"),
        ("runId=0", "runId="),
        ("runId=0", "runId"),
        ("runId=0", "runId=-0"),
        ("runId=1&stepMax=", "runId=1&stepMax=0"),
        ("runId=1&stepMax=-0", "runId=1&stepMax=0"),
        ("runId=9007199254740993", "runId=9007199254740992"),
        ("runId=1&smooth=a", "smooth=a&runId=1"),
    ],
)
def test_one_question(left: str, right: str) -> None:
    """Each pair gets the same answer upstream, and so one entry."""
    assert read(f"{left}&{BASE}").target == read(f"{right}&{BASE}").target


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("runId=1&projectName=demo", "runId=2&projectName=demo"),
        ("runId=1&projectName=demo", "projectName=demo"),
        ("runId=0&projectName=demo", "projectName=demo"),
        ("runId=1&projectName=demo", "runId=1&projectName="),
        ("runId=1&projectName=demo", "runId=1&projectName=Demo"),
        ("runId=1&projectName=demo", "runId=1&projectName=demo%20"),
        ("runId=1&projectName=demo", "runId=1&projectName=demo&stepMax="),
        ("runId=1&projectName=demo", "runId=1&projectName=demo&limit=1999"),
        ("runId=1&projectName=a%26limit=1", "runId=1&projectName=a&limit=1"),
        ("runId=1&projectName=a%26logName=b", "runId=1&projectName=a&logName=b"),
        ("runId=1&projectName=a&logName=b", "runId=1&projectName=a&logGroup=b"),
        ("runId=1&projectName=%C3%A9", "runId=1&projectName=e%CC%81"),
        ("runId=1&projectName=a%252Fb", "runId=1&projectName=a%2Fb"),
        ("runId=1&projectName=demo&smooth=", "runId=1&projectName=demo"),
        ("runId=1&projectName=demo&smooth=1&smooth=2", "runId=1&projectName=demo&smooth=2&smooth=1"),
        ("runId=18446744073709551616&projectName=demo", "runId=0&projectName=demo"),
    ],
)
def test_two_questions(left: str, right: str) -> None:
    """Each pair can get two answers upstream."""
    assert read(left).target != read(right).target


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        ("", {"projectName"}),
        ("runId=1", {"projectName"}),
        (f"runId=abc&{BASE}", {"runId"}),
        (f"runId=1_0&{BASE}", {"runId"}),
        (f"runId=%D9%A1&{BASE}", {"runId"}),
        (f"runId=%1C1&{BASE}", {"runId"}),
        (f"runId=-1&{BASE}", {"runId"}),
        (f"runId=1.5&{BASE}", {"runId"}),
        (f"runId=Infinity&{BASE}", {"runId"}),
        (f"runId=1e21&{BASE}", {"runId"}),
        (f"runId=null&{BASE}", {"runId"}),
        (f"runId=1&runId=1&{BASE}", {"runId"}),
        (f"runId=1&{BASE}&projectName=demo", {"projectName"}),
        (f"runId=1&{BASE}&logName=loss", {"logName"}),
        ("runId=1&projectName=p&logGroup=&logGroup=", {"logGroup"}),
        (f"runId=1&{BASE}&limit=", {"limit"}),
        (f"runId=1&{BASE}&limit=0", {"limit"}),
        (f"runId=1&{BASE}&limit=-0", {"limit"}),
        (f"runId=1&{BASE}&limit=2.5", {"limit"}),
        (f"runId=1&{BASE}&limit=10001", {"limit"}),
        (f"runId=1&{BASE}&limit=10000.5", {"limit"}),
        (f"runId=1&{BASE}&stepMin=-1", {"stepMin"}),
        (f"runId=1&{BASE}&stepMax=1e21", {"stepMax"}),
        (f"runId=1&{BASE}&stepMax=NaN", {"stepMax"}),
        ("runId=abc&limit=0&stepMin=-1", {"runId", "projectName", "limit", "stepMin"}),
        ("runId=1&projectName=%zz", {"projectName"}),
        ("runId=1&projectName=100%", {"projectName"}),
        ("runId=1&projectName=%FF", {"projectName"}),
        ("runId=1&projectName=%ED%A0%80", {"projectName"}),
        ("runId=1&projectName=a%00", {"projectName"}),
        ("runId=1&projectName=d\xe9mo", {"projectName"}),
        ("runId=1&projectName=a#b", {"projectName"}),
        (f"runId=1&{BASE}&%zz=1", {"%zz"}),
        (f"%72unId=%zz&projectName=%FF&{BASE}", {"%72unId", "projectName"}),
    ],
)
def test_refused(raw: str, names: set[str]) -> None:
    """What the upstream would refuse, or what has no certain meaning, is refused with every faulty parameter named."""
    assert set(faulty(raw)) == names


def test_a_message_says_what_is_wanted() -> None:
    """The messages name the range and the text that was given, shortened and printable."""
    messages = faulty(f"runId=%E2%82%AC{'9' * 100}&{BASE}&limit=0")
    assert messages["limit"] == "must be a whole number from 1 to 10000, not '0'"
    assert messages["runId"].endswith("999...'")
    assert all(message.isascii() and message.isprintable() for message in messages.values())


def test_unknown_parameters_are_told() -> None:
    """Unknown names are listed once each, in order; cache busters and extra parameters are not among them."""
    assert read(f"foo=1&runId=1&{BASE}&bar=&foo=2&_=3&smooth=1&RunId=4").unknown == ("foo", "bar", "RunId")


def test_the_names_survive() -> None:
    """A canonical target decodes to the very texts that were asked for."""
    name = 'm\u00e9trique/"quote"\\ +%&=#?\u2028\U0001f600'
    target = read(f"runId=1&projectName=p&logName={quote(name, safe='')}").target
    assert dict(parse_qsl(target.partition("?")[2]))["logName"] == name


def test_too_long() -> None:
    """What the upstream would refuse for its length is refused here."""
    most = MAX_TARGET_BYTES - len(read("runId=1&projectName=p").target)
    assert len(read(f"runId=1&projectName=p{'p' * most}").target) == MAX_TARGET_BYTES
    with pytest.raises(QueryTooLong):
        read(f"runId=1&projectName=pp{'p' * most}")
