"""A table of effects in LaTeX compiles whatever the names, and says no number that is not there."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from assistants.analysis import effects, latex_table
from assistants.errors import UsageError

HOSTILE = "a_b & 50% of {x} \\input{/etc/passwd} $1 #2 ~ ^ < > |\n\\end{tabular}\u202e\x1b[2J"


def scores(**means: float) -> pd.DataFrame:
    """Scores of personas around these means, case by case."""
    draw = np.random.default_rng(3)
    rows = [
        {"persona": persona, "model": "m", "case": str(case), "repeat": 0,
         "value": 100 + 7 * case + mean + draw.normal(0, 4)}
        for persona, mean in means.items() for case in range(12)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def cells(table: str) -> list[list[str]]:
    """Return the cells of each row; an escaped ampersand divides none."""
    rows = [line for line in table.splitlines() if line.endswith(r"\\")]
    return [re.split(r"(?<!\\) ?& ?", row.removesuffix(r" \\")) for row in rows]


def test_it_has_what_a_paper_needs() -> None:
    """The effect with its unit, interval and p, as the table has them, and a minus sign."""
    frame = effects(scores(none=0, brief=-40, same=1), "words", baseline="none", unit="words")
    table = latex_table(frame, unit="words")
    head, brief, same = cells(table)
    assert head == [
        "Persona", "Cases", "Baseline", "Mean", "Effect (words)", r"95\% interval", "$p$", "Verdict"
    ]  # fmt: skip
    effect, low, high = frame.loc[0, ["effect", "low", "high"]]
    assert brief[:2] == ["brief", "12"]
    assert brief[4] == f"$-${-effect:.1f}"
    assert brief[5] == f"[$-${-low:.1f}, $-${-high:.1f}]"
    assert brief[6:] == ["0.001" if frame.loc[0, "p_adjusted"] >= 0.001 else "$<$0.001", "less"]
    assert same[7] == frame.loc[1, "verdict"]
    assert table.startswith("\\begin{tabular}{lrrrrrrl}\n\\toprule\n")
    assert "\\bottomrule\n\\end{tabular}\n% brief, same: One draw a case" in table


def test_no_name_is_a_command() -> None:
    """What LaTeX would read as one is escaped, what is unseen is written out, on one line."""
    frame = effects(scores(none=0, x=-40), "words", baseline="none", unit="words")
    frame["persona"], frame["note"] = HOSTILE, f"{HOSTILE}: note"
    table = latex_table(frame, unit="50% & more")
    rows = cells(table)
    assert {len(row) for row in rows} == {8}
    assert rows[1][0].startswith(r"a\_b \& 50\% of \{x\} \textbackslash{}input\{/etc/passwd\} \$1")
    assert table.count(r"\end{tabular}") == table.count(r"\begin{tabular}") == 1
    assert "\x1b" not in table
    assert "\u202e" not in table
    after = table.partition("\\end{tabular}\n")[2]
    assert [line for line in after.splitlines() if not line.startswith("% ")] == []


def test_what_is_not_known_is_a_dash() -> None:
    """One case has no effect, and none is shown; several models have a column."""
    one = scores(none=0, brief=-9).query("case == '1'")
    frame = effects(one, "words", baseline="none", unit="words")
    assert cells(latex_table(frame))[1][4:7] == ["--", "--", "--"]
    both = pd.concat([frame, frame.assign(model="other_one")])
    assert [row[1] for row in cells(latex_table(both))] == ["Model", "m", r"other\_one"]


def test_a_table_of_something_else_is_refused() -> None:
    """With the way to get it in LaTeX."""
    with pytest.raises(UsageError, match="no effects") as caught:
        latex_table(scores(none=0))
    assert "to_latex" in caught.value.fix
