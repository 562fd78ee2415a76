"""Errors whose frames hold something."""


class Body:
    """What a frame holds."""


def raised(error: Exception, body: Body) -> Exception:
    """Return an error that went through frames which hold a body, and the error itself, and arose from one that did so too."""
    held = None
    try:
        try:
            raise ValueError(body)  # noqa: TRY301 -- a frame of its own would be let go of
        except ValueError as exc:
            raise error from exc
    except type(error) as exc:
        held = exc
    return held
