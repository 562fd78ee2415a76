"""Server-Sent Events (the HTML standard, section 9.2): an event's bytes."""

import msgspec

# A comment, which clients ignore: it shows both ends that the other one is still there.
HEARTBEAT = b":\n\n"
CONTENT_TYPE = "text/event-stream"


def event(name: str, data: object, *, event_id: str | None = None) -> bytes:
    """Return the bytes of an event: its name, its data as JSON, and the id from which a client goes on after a break."""
    identified = "" if event_id is None else f"id: {event_id}\n"
    # JSON as msgspec writes it has no line breaks.
    return f"event: {name}\n{identified}data: ".encode() + msgspec.json.encode(data) + b"\n\n"
