"""Where no prompt is shown and no persona is empty, the input tokens of personas are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assistants.personas import Persona
from assistants.runs.audit import PromptAudit
from assistants.runs.audit.token_counts import Count, TokenIncrease, with_token_increase
from assistants.trial import Case
from support.experiments import client_at, experiment_at, quiet
from support.template_server import TemplateServer, template

SHORT = "Be terse and kind."
LONG = "Never say more than is needed to be understood by a child who has not been to school yet."
OTHER = (
    "Always say a great deal more than was asked for, and never mind whoever has to read it all."
)
THIRD = (
    "Ask back before answering anything, since few people know what it is that they want to know."
)


async def told(here: Path, name: str, texts: Mapping[str, str | None], **more: Any) -> pd.DataFrame:
    """Return the audits of personas with these texts, on a hosted API with that template."""
    with TemplateServer(template(name), "silent") as server:
        experiment = experiment_at(server.url, 2, client=client_at(server.url, "openai:m"))
        (first, *_) = experiment.assistants
        made = tuple(replace(first, persona=Persona(each, text)) for each, text in texts.items())
        run = await replace(experiment, assistants=made, **more).run(here / name, on_progress=quiet)
    return run.prompt_audit().set_index("persona")


@pytest.mark.parametrize(("name", "verdict"), [("chatml", "counted"), ("drop", "not counted")])
async def test_a_long_text_is_compared_with_a_short_one(
    here: Path, name: str, verdict: str
) -> None:
    """By as much as it is longer, its tokens have to be more; of the short one nothing is known."""
    rows = await told(here, name, {"long": LONG, "short": SHORT})
    assert list(rows["verdict"]) == [verdict, "unknown"]
    assert rows.loc["long", "known_by"] == "token counts"
    assert "tokens a question against short, where" in rows.loc["long", "note"]
    assert rows.loc["short", "known_by"] == "unknown"


@pytest.mark.parametrize("name", ["truncate", "first-line"])
async def test_what_is_cut_does_not_count(here: Path, name: str) -> None:
    """The longer of two texts, less what a template cut off, has too few tokens."""
    text = "\n".join([LONG, OTHER, THIRD] * 3)
    rows = await told(here, name, {"long": text, "short": SHORT})
    assert rows.loc["long", "verdict"] == "not counted"


async def test_an_empty_prompt_is_the_better_comparison(here: Path) -> None:
    """Where there is one, every text is compared with it, as short as it may be."""
    rows = await told(here, "chatml", {"long": LONG, "short": SHORT, "none": None})
    assert list(rows["verdict"]) == ["counted", "counted", "unknown"]
    assert rows["note"].str.contains("against no prompt").to_list() == [True, True, False]


async def test_texts_of_one_length_tell_only_if_none_is_sent(here: Path) -> None:
    """Different tokens prove nothing; the same tokens of all of three texts are no chance."""
    texts = {"a": LONG, "b": OTHER, "c": THIRD}
    assert set((await told(here, "chatml", texts))["verdict"]) == {"unknown"}
    dropped = await told(here, "drop", texts)
    assert set(dropped["verdict"]) == {"not counted"}
    assert "3 personas of different texts" in dropped.loc["a", "note"]
    half = await told(here / "half", "drop", {"long": LONG, "half": LONG[: len(LONG) // 2]})
    assert set(half["verdict"]) == {"unknown"}
    two = await told(here / "two", "drop", {"a": LONG, "b": OTHER})
    assert set(two["verdict"]) == {"unknown"}
    same = await told(here / "same", "drop", {"a": LONG, "b": LONG, "c": LONG})
    assert set(same["verdict"]) == {"unknown"}


async def test_answers_to_different_cases_are_not_compared(here: Path) -> None:
    """A run that was broken off may have one persona's answer to each case."""
    with TemplateServer(template("drop"), "silent") as server:
        experiment = experiment_at(server.url, 3, client=client_at(server.url, "openai:m"))
        first = experiment.assistants[0]
        texts = {"a": LONG, "b": OTHER, "c": THIRD}
        made = [replace(first, persona=Persona(name, text)) for name, text in texts.items()]
        cases = [Case(str(i), (f"Why {i}?",)) for i in range(3)]
        for assistant, case in zip(made, cases, strict=True):
            alone = replace(experiment, assistants=(assistant,), cases=(case,))
            await alone.run(here, on_progress=quiet)
        failing = client_at(server.url_of("400"), "openai:m")
        whole = tuple(replace(assistant, client=failing) for assistant in made)
        run = await replace(experiment, assistants=whole, cases=tuple(cases)).run(
            here, on_progress=quiet
        )
    assert run.statuses() == {"ok": 3, "error": 6}
    assert set(run.prompt_audit()["verdict"]) == {"unknown"}


words = st.lists(st.text("abcdefghij", min_size=1, max_size=9), max_size=60).map(" ".join)


@example("", "word " * 30, 1, 1.8, 0)
@given(words, words, st.floats(1, 1.8), st.floats(1, 1.8), st.integers(0, 16))
def test_tokens_of_running_text_count(
    more: str, other: str, rate: float, others: float, frame: int
) -> None:
    """Between 1 and 1.8 tokens a word, of either text, no text that is sent is refuted."""
    text = " ".join([more, *[other] * 3, "So it is."])
    rise = TokenIncrease()
    with_it = Count("p", text, round(rate * len(text.split())) + frame)
    rise.add(with_it, Count("q", other, round(others * len(other.split())) + frame * bool(other)))
    assert with_token_increase(PromptAudit("p", "m", "unknown"), rise).verdict == "counted"
