"""What can be said of the style sheet and of the files of others without a browser."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

import afilsql.web

STATIC = Path(afilsql.web.__file__).parent / "static"
CSS = (STATIC / "app.css").read_text(encoding="utf-8")

#: A text's color and what is behind it.
PAIRS = [
    *((text, behind) for text in ("text", "muted", "accent") for behind in ("bg", "surface")),
    *((name, f"{name}-bg") for name in ("good", "bad", "warn", "info")),
    *(("text", f"{name}-bg") for name in ("info", "quiet")),
    *(("muted", "info-bg"), ("accent", "info-bg"), ("bad", "surface"), ("bad", "quiet-bg"), ("on-accent", "accent")),
]


def colors(scheme: str) -> dict[str, str]:
    light, dark = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)[:2]
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light))
    return found | (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", dark)) if scheme == "dark" else {})


def luminance(color: str) -> float:
    parts = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("text", "behind"), PAIRS)
def test_text_stands_out_from_what_is_behind_it(scheme: str, text: str, behind: str) -> None:
    found = colors(scheme)
    assert contrast(found[text], found[behind]) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_frame_of_what_has_the_focus_stands_out(scheme: str) -> None:
    found = colors(scheme)
    assert all(contrast(found["focus"], found[b]) >= 3 for b in ("bg", "surface"))


def test_the_dark_colors_are_all_there() -> None:
    assert colors("dark").keys() == colors("light").keys()
    assert sum(1 for k, v in colors("dark").items() if colors("light")[k] != v) == len(colors("light"))


def test_nothing_is_fetched_from_elsewhere() -> None:
    for file in (*STATIC.glob("app.*"), *STATIC.parent.glob("templates/*.html")):
        assert not re.search(r"(src|href|url\(|@import)[=\s\"'(]*(https?:)?//", file.read_text(encoding="utf-8")), file


def test_the_files_of_others_are_those_that_their_makers_published_with_their_licences() -> None:
    text = (STATIC / "LICENSES.txt").read_text(encoding="utf-8")
    noted = dict(reversed(line.split()) for line in re.findall(r"^[0-9a-f]{64}  \S+$", text, re.MULTILINE))
    ours = {"app.css", "app.js", "icon.svg", "LICENSES.txt"}
    assert noted.keys() == {f.name for f in STATIC.iterdir()} - ours
    for name, digest in noted.items():
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == digest, name
    assert "Zero-Clause BSD" in text and "The MIT License" in text
    assert re.search(r"htmx \d+\.\d+\.\d+", text) and re.search(r"uPlot \d+\.\d+\.\d+", text)
