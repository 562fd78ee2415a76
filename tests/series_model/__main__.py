"""`python -m tests.series_model --answers 200000` checks so many answers, and tells how they came about."""

import argparse
import sys

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.series_model.model import SeriesModel
from tests.series_model.outcomes import from_chunks, from_extents, happened, longest, mixed, outcomes


def main() -> None:
    """Run the model until enough answers were checked."""
    parser = argparse.ArgumentParser(prog="python -m tests.series_model", description="Check the series engine for long.")
    parser.add_argument("--answers", type=int, default=200_000, metavar="N", help="how many to check, default 200000")
    parser.add_argument("--fast", action="store_true", help="don't look for the shortest way to a fault")
    arguments = parser.parse_args()
    wanted = arguments.answers
    long = settings(
        max_examples=10,
        stateful_step_count=70,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate] if arguments.fast else list(Phase),
    )
    while outcomes.total() < wanted:
        run_state_machine_as_test(SeriesModel, settings=long)
        total = outcomes.total()
        shares = ", ".join(f"{kind} {100 * count / total:.0f} %" for kind, count in outcomes.most_common())
        share = 100 * from_extents.total() / total
        chunks = 100 * from_chunks.total() / total
        sys.stdout.write(
            f"{total} answers checked, {share:.0f} % from extents, {chunks:.0f} % just computed from chunks: {shares}\n"
        )
        sys.stdout.write(f"{shares}; {mixed.total()} of two moments; the greatest ages {dict(longest)}\n{dict(happened)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
