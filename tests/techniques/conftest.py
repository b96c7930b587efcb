"""A folder of invented facts in five formats, and a cache of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.pdf_files import pdf


@pytest.fixture(autouse=True)
def cache(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the indexes of a test in a cache of its own."""
    folder = here / ".cache"
    monkeypatch.setenv("ASSISTANTS_CACHE", str(folder))
    return folder


@pytest.fixture
def notes(here: Path) -> Path:
    """Return a folder of notes."""
    folder = here / "notes"
    (folder / "towns").mkdir(parents=True)
    (folder / "moths.md").write_text(
        "---\ntitle: Moths\n---\n# Moths\n\nMoths fly at night.\n\n## Velmar lantern moth\n\n"
        "It glows green.\n\nIts maximum age is 41 days.\n\n## Dust moth\n\nIt eats wool.\n",
        encoding="utf-8",
    )
    (folder / "towns" / "ostrelin.txt").write_text(
        "A town on the river Sell.\n\nOstrelin was founded by Maruta Fenwick.\n", encoding="utf-8"
    )
    (folder / "carvonia.html").write_text(
        "<html><head><style>p {color: red}</style><script>let dish = 'national';</script></head>"
        "<body><h1>Carvonia</h1>\n<h2>Food</h2>\n<p>The <b>national</b> dish is smoked quell"
        "<i>berry</i> &amp; bread.</p>\n<h2>Money</h2><p>Coins are square.</p></body></html>",
        encoding="utf-8",
    )
    (folder / "buildings.csv").write_text(
        'building,height,note\nBrask tower,217 metres,"a line\nand another"\nOld mill,12 metres,\n',
        encoding="utf-8",
    )
    (folder / "accord.pdf").write_bytes(
        pdf(["Treaties of the north", "The Tiller accord was signed\non 9 March 1871."])
    )
    (folder / ".private.md").write_text("A hidden secret: 12345.", encoding="utf-8")
    return folder
