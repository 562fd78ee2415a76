"""Write the reference afresh: `python -m tools.reference`, or `make reference`."""

import structlog

from tools.reference.pages import ROOT, pages


def main() -> None:
    """Write each file."""
    # What the proxy logs while its metrics are read is nobody's concern.
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    for name, text in pages().items():
        (ROOT / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
