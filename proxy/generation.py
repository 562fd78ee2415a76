"""A number that tells whether anything has changed that answers depend on, for who has decided something by it."""


class Generation:
    """`number` is another one after each change. Whoever keeps a decision notes the number before it decides.

    It is for what changes seldom and may matter to any answer: whose key is in use, what tokens grant, which runs have ended.
    """

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0

    def end(self) -> None:
        """Begin another generation: what was decided before has to be decided anew."""
        self.number += 1
