"""Questions, and the answers to them as pluto-api gives them: one metric's rows, about 120 bytes each, made once.

How many points an answer has, and how long it takes, stands in the question's project name, so that the bench, the origin and
the bare handler agree on it without talking to each other. The metric's name carries a number: another number is another
question with an answer of its own and of the same length.
"""

import random
from functools import cache

METRICS_PATH = "/api/runs/metrics"
VALIDATE_PATH = "/api/runs/auth/validate"
VALIDATED = b'{"valid":true,"user":{"id":"user_bench"},"organization":{"id":"org_bench","slug":"bench"}}'
SMALL, LARGE = 20, 2_000
_PLACE = b"train/loss-########"
_GROWS = "growing"


def question(points: int, number: int, *, wait_ms: int = 0, grows: bool = False) -> str:
    """Return the path and query that ask for `points` rows of the metric of this number, given after `wait_ms`.

    One that `grows` has another last row each time that it is asked for.
    """
    project = f"{_GROWS if grows else 'points'}-{points}-wait-{wait_ms}"
    return f"{METRICS_PATH}?runId=1234&projectName={project}&logName=train%2Floss-{number:08d}&limit=2000"


def read_project(project_name: str) -> tuple[int, float]:
    """Return the points and the seconds to wait that a project name asks for. Raises ValueError for any other name."""
    _, points, _, wait_ms = project_name.split("-")
    return int(points), int(wait_ms) / 1000


def grown(project_name: str, body: bytes, calls: int) -> bytes:
    """Return the body with a last row of its own where the project name says that it grows."""
    if not project_name.startswith(_GROWS):
        return body
    before, step, _ = body.rpartition(b'"step":')
    return before + step + b"%d}]}" % (10**9 + calls)


def answer(points: int, log_name: str) -> bytes:
    """Return the body for a metric name as question() makes them."""
    return _template(points).replace(_PLACE, log_name.encode())


def answer_to(points: int, number: int) -> bytes:
    """Return the body that answers question(points, number)."""
    return answer(points, f"train/loss-{number:08d}")


@cache
def _template(points: int) -> bytes:
    dice = random.Random(points)  # noqa: S311 -- a noisy curve, the same in every process
    rows = (_row(step, 2.5 / (1 + step / 300) + dice.gauss(0, 0.02), dice.randrange(60)) for step in range(points))
    return b'{"metrics":[' + b",".join(rows) + b"]}"


def _row(step: int, value: float, jitter_ms: int) -> bytes:
    ms = step * 1_000 + jitter_ms
    time = f"2026-01-01 {ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"
    head = b'{"logName":"' + _PLACE + b'","logGroup":"train",'
    return head + f'"value":{value:.4f},"valueFlag":"","time":"{time}","step":{step}}}'.encode()
