"""Refusals on the way to an answer, raised where they are found and answered in one place."""

from collections.abc import Sequence

Issue = dict[str, object]


class Problem(Exception):
    """An answer that isn't the one asked for: a status, and the JSON value of its body."""

    def __init__(self, status: int, body: object) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body

    @classmethod
    def told(cls, error: str, status: int = 400) -> "Problem":
        """An error that a route words itself."""
        return cls(status, {"error": error})

    @classmethod
    def invalid(cls, issues: Sequence[Issue]) -> "Problem":
        """The schema's 400, its issues in schema order."""
        return cls(400, {"success": False, "error": {"issues": list(issues), "name": "ZodError"}})

    @classmethod
    def internal(cls) -> "Problem":
        """What an uncaught exception becomes upstream."""
        return cls(500, {"error": "Internal Server Error"})


class UnreadableError(ValueError):
    """The schema let a value through that the database can't read: a 500."""
