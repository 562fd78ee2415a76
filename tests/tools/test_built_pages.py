"""Built pages that load something from elsewhere are found, and links are left alone."""

from pathlib import Path

import pytest

from tools.built_pages import loaded_from_outside, main


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<img src="//cdn.example/x.png">',
        '<img srcset="HTTPS://cdn.example/x.png 2x">',
        '<link rel="stylesheet" href="http://fonts.example/css">',
        '<link href="https://fonts.example" rel="preconnect">',
        '<p style="background: url(https://cdn.example/x.png)">',
        "<style>@import 'https://fonts.example/css';</style>",
        '<svg><image href="https://cdn.example/x.png"/></svg>',
    ],
)
def test_what_is_found(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a browser fetches by itself."""
    (tmp_path / "page.html").write_text(text)
    assert len(loaded_from_outside(tmp_path / "page.html")) == 1
    assert main(tmp_path) == 1
    assert ".example" in capsys.readouterr().err


def test_style_sheets(tmp_path: Path) -> None:
    """Fonts of others are found in them."""
    (tmp_path / "own.css").write_text("body { font: serif; background: url('img/own.png') }")
    assert main(tmp_path) == 0
    (tmp_path / "other.css").write_text('@font-face { src: url("https://fonts.example/f.woff2") }')
    assert main(tmp_path) == 1


def test_what_is_left_alone(tmp_path: Path) -> None:
    """Links, what is of the page's own host, and addresses in a text."""
    page = '<a href="https://example.com/">there</a><script src="../own.js"></script><link rel="canonical" href="https://x.example">'
    (tmp_path / "page.html").write_text(page + "<code>url(https://example.com/)</code><img src='data:image/png;base64,AA=='>")
    assert main(tmp_path) == 0


def test_no_pages(tmp_path: Path) -> None:
    """Nothing to look at isn't all well."""
    assert main(tmp_path) == 1
