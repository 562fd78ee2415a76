"""What the runner's own test has caught a mutant by."""

from proxy.generation import Generation


def test_a_generation_ends() -> None:
    generation = Generation()
    before = generation.number
    generation.end()
    assert generation.number != before
