"""Who meets whom: every pair once, in a fair order, and on fair sides."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants.errors import UnknownNameError, UsageError
from assistants.widgets.rate.pairing import Pair, pairs

NAMES = ["none", "art", "math", "music", "sport"]


def table(personas: int, cases: int, repeats: int = 1, models: int = 1) -> pd.DataFrame:
    """Trials of which every answer is another one."""
    return pd.DataFrame(
        {"case": f"c{c}", "question": f"Question {c}?", "model": f"m{m}", "repeat": r,
         "persona": NAMES[p], "key": f"{p}-{c}-{m}-{r}", "answer": f"{p} says {c} {m} {r}",
         "status": "ok"}
        for m in range(models) for p in range(personas) for c in range(cases)
        for r in range(repeats)
    )  # fmt: skip


frames = st.builds(
    table, st.integers(2, 5), st.integers(1, 6), st.integers(1, 3), st.integers(1, 2)
)
choices: Any = st.sampled_from(["baseline", "all"])


def drawn(frame: pd.DataFrame, **asked: Any) -> list[Pair]:
    return pairs(frame, asked.pop("rater", "ann"), **{"baseline": "none", **asked})


@given(frame=frames, choice=choices, seed=st.integers(0, 99))
def test_nobody_is_ever_ahead_on_one_side(frame: pd.DataFrame, choice: Any, seed: int) -> None:
    """However early a rater stops, each persona stood left as often as right, within one."""
    ahead: Counter[str] = Counter()
    for pair in drawn(frame, choice=choice, seed=seed):
        ahead[pair.left.persona] += 1
        ahead[pair.right.persona] -= 1
        assert max(map(abs, ahead.values())) <= 1


@given(frame=frames, choice=choices, seed=st.integers(0, 99), data=st.data())
def test_stopping_early_leaves_a_fair_sample(
    frame: pd.DataFrame, choice: Any, seed: int, data: st.DataObject
) -> None:
    """Of cases within one of each other, and of meetings nearly so."""
    order = drawn(frame, choice=choice, seed=seed)
    some = order[: data.draw(st.integers(0, len(order)))]
    cases = Counter(dict.fromkeys(frame["case"], 0)) + Counter(pair.case for pair in some)
    counts = [cases[case] for case in frame["case"].unique()]
    assert max(counts) - min(counts) <= 1
    met = Counter(pair.personas for pair in some)
    counts = [met[personas] for personas in {pair.personas for pair in order}]
    assert max(counts) - min(counts) <= 3


@given(frame=frames, seed=st.integers(0, 99))
def test_every_pair_is_there_once(frame: pd.DataFrame, seed: int) -> None:
    """Same case, model and repeat; everybody with everybody."""
    order = drawn(frame, choice="all", seed=seed)
    personas = frame["persona"].nunique()
    cells = len(frame) // personas
    assert len(order) == cells * personas * (personas - 1) // 2
    assert len({pair.keys for pair in order}) == len(order)
    for pair in order:
        place = [side.key.split("-", 1)[1] for side in (pair.left, pair.right)]
        assert place[0] == place[1]


def test_with_a_baseline_the_others_do_not_meet() -> None:
    """Each persona meets it in every case."""
    order = drawn(table(4, 3))
    assert len(order) == 3 * 3
    assert all("none" in pair.personas for pair in order)


def test_the_same_rater_sees_the_same_and_another_something_else() -> None:
    """Order and sides are decided by the seed and the rater."""
    frame = table(4, 6)
    assert drawn(frame) == drawn(frame)
    assert drawn(frame) != drawn(frame, rater="bob")
    assert drawn(frame) != drawn(frame, seed=1)
    shown = {pair.keys: pair.left.key for pair in drawn(frame)}
    other = {pair.keys: pair.left.key for pair in drawn(frame, rater="bob")}
    assert shown.keys() == other.keys()
    assert shown != other


def test_what_is_one_answer_never_meets_itself() -> None:
    """Neither with equal keys nor with equal words; and a failed trial meets nobody."""
    frame = table(3, 4)
    frame.loc[(frame["persona"] == "art") & (frame["case"] == "c0"), "key"] = "0-0-0-0"
    frame.loc[frame["case"] == "c1", "answer"] = ["Tea.", " Tea.\n", "Milk."]
    frame.loc[(frame["persona"] == "math") & (frame["case"] == "c2"), "status"] = "refusal"
    frame.loc[(frame["persona"] == "none") & (frame["case"] == "c3"), "status"] = "error"
    met = {(pair.case, *pair.personas) for pair in drawn(frame, choice="all")}
    assert met == {
        ("c0", "math", "none"), ("c1", "math", "none"), ("c1", "art", "math"),
        ("c2", "art", "none"), ("c3", "art", "math"),
    }  # fmt: skip


def test_who_and_what_is_rated_can_be_chosen() -> None:
    """Personas (and the baseline), cases and how many repeats."""
    order = drawn(table(4, 3, 3), personas=["art"], cases=["c1", "c2"], repeats=2)
    assert {pair.personas for pair in order} == {("art", "none")}
    assert {(pair.case, pair.repeat) for pair in order} == {
        (case, repeat) for case in ("c1", "c2") for repeat in (0, 1)
    }


@pytest.mark.parametrize(("asked", "error", "said"), [
    ({"personas": ["arts"]}, UnknownNameError, "Did you mean 'art'"),
    ({"cases": ["c9"]}, UnknownNameError, "unknown case"),
    ({"baseline": None}, UsageError, "no baseline"),
    ({"choice": "some"}, UsageError, "'baseline' or 'all'"),
    ({"personas": ["none"]}, UsageError, "no two different answers"),
])  # fmt: skip
def test_what_cannot_be_asked_is_refused(asked: Any, error: type[Exception], said: str) -> None:
    """With what to do instead."""
    with pytest.raises(error, match=said):
        drawn(table(3, 2), **asked)
