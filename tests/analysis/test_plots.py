"""Figures: drawn offline, the same every time, and harmless whatever names are in them."""

from __future__ import annotations

import struct
import sys
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from assistants.analysis.effects import effects
from assistants.analysis.plots import Figure, cost, distributions, forest, heat_map
from assistants.errors import MissingDependencyError, UnknownNameError, UsageError

NASTY = [
    "</text><script>window.hacked=1</script>",
    "]]><image href='http://beacon.invalid/x'/>",
    "javascript:alert(1)",
    "a.b[0]['c']\\",
    "\x00\x01\x1b[2J\ufffe\uffff &amp; \"'",
    "datum.t + 1",
]


def table(names: list[str], cases: list[str], repeats: int = 3, model: str = "m") -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = [
        (p, model, c, r, "ok", "words", float(generator.integers(50, 99) + 9 * i), None, None)
        for i, p in enumerate(names)
        for c in cases
        for r in range(repeats)
    ]
    columns = "persona model case repeat status scorer value reason detail".split()
    return pd.DataFrame(rows, columns=columns)


def asked(scores: pd.DataFrame, price: float | None = 0.01) -> pd.DataFrame:
    return scores[["persona", "model", "case", "repeat", "status"]].assign(
        cost_usd=pd.array([price] * len(scores), dtype="Float64"), output_tokens=7
    )


def every(scores: pd.DataFrame, baseline: str) -> list[Figure]:
    found = effects(scores, "words", baseline=baseline, unit="words")
    return [
        forest(found, score="words", unit="words"),
        heat_map(scores, score="words", unit="words"),
        distributions(scores, score="words", unit="words"),
        cost(scores, asked(scores), score="words", unit="words"),
    ]


def test_names_cannot_break_out() -> None:
    """Markup, control characters and expressions in every name are text and nothing else."""
    scores = table(NASTY, NASTY[:2], model=NASTY[0])
    scores = pd.concat([scores, table(NASTY[:2], NASTY, model=NASTY[4])])
    for figure in every(scores, NASTY[0]):
        root = ET.fromstring(figure.svg())
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert tags <= {"svg", "g", "path", "text", "line", "rect", "tspan"}
        assert not [k for e in root.iter() for k in e.attrib if "href" in k or k.startswith("on")]
        assert "<script" not in figure.svg()
        assert "<script" not in figure.table_html()
        assert "\x1b" not in figure.table_html()


def test_equal_input_is_an_equal_picture() -> None:
    """Drawn twice, byte for byte."""
    scores = table(["none", "a", "b"], [f"c{i}" for i in range(4)])
    one, two = every(scores, "none"), every(scores, "none")
    assert [figure.svg() for figure in one] == [figure.svg() for figure in two]


def test_what_is_missing_is_said() -> None:
    """A cell without a score is missing, and a persona without an effect has its reason."""
    scores = table(["none", "a", "gone"], [f"c{i}" for i in range(12)])
    scores.loc[scores["persona"] == "gone", ["value", "status"]] = [np.nan, "error"]
    plot, heat, spread, spent = every(scores, "none")
    assert "no case has both scores" in plot.svg()
    assert "12 cells missing" in heat.alt
    assert heat.table["gone"].isna().all()
    assert "no trial has a score" in spread.svg()
    assert spent.table.set_index("persona")["mean"].isna().to_dict() == {
        "none": False, "a": False, "gone": True
    }  # fmt: skip


@pytest.mark.parametrize("price", [None, 0.0])
def test_without_a_price_the_axis_is_tokens(price: float | None) -> None:
    """An unknown price is not 0 dollars."""
    scores = table(["none", "a"], [f"c{i}" for i in range(5)])
    assert "output tokens per answer" in cost(scores, asked(scores, price), score="words").svg()


def test_shares_have_wilson_intervals_over_cases() -> None:
    """7 of 10 is 40 to 89 percent, however often each case is asked (Wilson 1927)."""
    for repeats in (1, 5):
        scores = table(["a"], [f"c{i}" for i in range(10)], repeats)
        scores["value"] = (scores["case"] < "c7").astype(float)
        (row,) = distributions(scores, score="words", binary=True).table.to_dict("records")
        assert (row["share"], row["n_cases"]) == (pytest.approx(70), 10)
        assert (row["low"], row["high"]) == (
            pytest.approx(39.68, abs=0.01),
            pytest.approx(89.22, abs=0.01),
        )


def test_large_tables_make_small_pictures() -> None:
    """What there is no room for is said, and is in the table."""
    scores = table([f"p{i}" for i in range(80)], [f"c{i}" for i in range(90)], 1)
    figures = every(scores, "p0")
    for figure, column in zip(figures, (79, 90, 80, 80), strict=True):
        svg = figure.svg()
        assert len(svg) < 1_500_000
        assert len(figure.table) == column
    assert "no room for 30 cases" in figures[1].svg()


def test_a_screen_reader_hears_the_gist() -> None:
    """The picture has a text alternative, whatever is in the names."""
    for figure in every(table(NASTY[:2], ["c1", "c2"]), NASTY[0]):
        root = ET.fromstring(figure.svg())
        assert root.get("role") == "img"
        assert root.get("aria-label") == figure.alt


def test_what_is_missing_is_never_drawn() -> None:
    """Without a score there is neither a point, nor a number, nor a colour of the scale."""
    scores = table(["none", "a"], ["c1", "c2"]).assign(value=np.nan, status="error")
    for figure in every(scores, "none"):
        svg = figure.svg()
        assert 'aria-roledescription="circle"' not in svg
        assert not [e for e in ET.fromstring(svg).iter() if (e.text or "").strip() == "0"]


def test_without_altair_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command, and not a traceback of imports."""
    scores = table(["none", "a"], ["c1", "c2"])
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'assistants\[analysis\]'"):
        heat_map(scores, score="words")


def test_saved_as_svg_pdf_or_png_only(tmp_path: Path) -> None:
    """Anything else is an error that says so."""
    figure = distributions(table(["a"], ["c"]), score="words")
    assert figure.save(tmp_path / "new" / "a.svg").read_text("utf-8") == figure.svg()
    assert figure.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert figure.save(tmp_path / "a.PDF").read_bytes().startswith(b"%PDF-")
    with pytest.raises(UsageError, match=r"not saved as \.html"):
        figure.save(tmp_path / "a.html")
    with pytest.raises(UnknownNameError, match="unknown score 'wrds'"):
        heat_map(table(["a"], ["c"]), score="wrds")


def pixels(png: bytes) -> np.ndarray:
    """Return the pixels of a PNG whose lines are stored as they are or as differences (Sub)."""
    content, place = b"", 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        chunk = png[place + 4 : place + 8 + length]
        (checksum,) = struct.unpack(">I", png[place + 8 + length : place + 12 + length])
        assert checksum == zlib.crc32(chunk)
        if chunk[:4] == b"IHDR":
            width, height = struct.unpack(">II", chunk[4:12])
        content += chunk[4:] if chunk[:4] == b"IDAT" else b""
        place += 12 + length
    lines = np.frombuffer(zlib.decompress(content), np.uint8).reshape(height, 1 + 4 * width)
    assert set(lines[:, 0]) <= {0, 1}
    colours = lines[:, 1:].reshape(height, width, 4)
    return np.where(lines[:, :1, None], colours.cumsum(axis=1, dtype=np.uint8), colours)


def test_a_png_is_small_and_has_every_pixel() -> None:
    """Less than a third of what vl-convert writes, and the very same picture."""
    import vl_convert

    for figure in every(table(["none", "a", "b"], [f"c{i}" for i in range(9)]), "none"):
        written = vl_convert.svg_to_png(figure.svg(), scale=2)
        assert len(figure.png()) < len(written) / 3
        assert (pixels(figure.png()) == pixels(written)).all()
