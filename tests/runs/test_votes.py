"""Votes: kept once for each rater and pair, taken back, and turned into a share of wins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from assistants import Experiment, Run
from assistants.runs.store import Store
from assistants.runs.votes import COLUMNS, shares, votes
from assistants.scoring.vote import Vote, Winner


@pytest.fixture
async def run(here: Path) -> Run:
    """Three personas, two cases, one draw."""
    experiment = Experiment.define(
        "tea", personas=["none", "art", "math"], models=["echo"], cases=["Tea?", "Milk?"]
    )
    return await experiment.run(on_progress=lambda progress: None)


def vote(
    run: Run, left: str, right: str, winner: Winner, *, rater: str = "ann", case: int = 0
) -> Vote:
    """Return a vote between two personas on one case."""
    keys = {
        persona: list(of["key"])[case]
        for persona, of in run.trials().groupby("persona", sort=False)
    }
    return Vote(rater, "person", keys[left], keys[right], winner)


async def test_a_vote_is_a_row_that_names_both_personas(run: Run) -> None:
    """And the case, model and repeat that they answered, who voted and when."""
    with Store("results") as store:
        store.add_votes([vote(run, "art", "none", "left")])
        (row,) = votes(store, run.id).to_dict("records")
    assert tuple(row) == COLUMNS
    assert (row["left"], row["right"], row["winner"], row["rater"]) == (
        "art",
        "none",
        "left",
        "ann",
    )
    assert row["voted_at"]


async def test_the_last_vote_on_a_pair_stays(run: Run) -> None:
    """Who votes again has changed their mind; who takes a vote back has not voted."""
    with Store("results") as store:
        store.add_votes([vote(run, "art", "none", "left")])
        store.add_votes(
            [vote(run, "art", "none", "tie"), vote(run, "art", "none", "right", rater="bob")]
        )
        assert list(votes(store, run.id)["winner"]) == ["tie", "right"]
        store.remove_vote(vote(run, "art", "none", "tie"))
        assert list(votes(store, run.id)["rater"]) == ["bob"]


async def test_a_tie_is_half_a_win_for_both(run: Run) -> None:
    """A share is over all comparisons of that answer, by whomever."""
    with Store("results") as store:
        store.add_votes([
            vote(run, "art", "none", "left"), vote(run, "none", "art", "tie", rater="bob"),
            vote(run, "math", "art", "both bad", case=1),
        ])  # fmt: skip
        table = shares(votes(store, run.id)).set_index(["case", "persona"])
    assert table.loc[("1", "art"), "value"] == 0.75
    assert table.loc[("1", "none"), "value"] == 0.25
    assert table.loc[("1", "art"), "detail"] == "2 votes"
    assert table.loc[("2", "math"), "value"] == table.loc[("2", "art"), "value"] == 0.5


async def test_a_judge_s_vote_in_one_order_is_left_out(run: Run) -> None:
    """Whoever wrote it: the place and the answer cannot be told apart."""
    first = replace(vote(run, "art", "none", "left"), kind="judge", rater="j")
    second = replace(vote(run, "none", "art", "right"), kind="judge", rater="j")
    with Store("results") as store:
        store.add_votes([first])
        assert votes(store, run.id).empty
        store.add_votes([second])
        assert len(votes(store, run.id)) == 2


async def test_a_stranger_s_store_brings_no_word_of_its_own(run: Run) -> None:
    """A winner or a kind that no rater of ours could have written is left out."""
    with Store("results") as store:
        store.add_votes([vote(run, "art", "none", "<script>")])  # type: ignore[arg-type]
        assert votes(store, run.id).empty
