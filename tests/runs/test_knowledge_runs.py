"""Runs of assistants that know notes: what is stored, and how citations are scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from assistants import Experiment, Message, Sampling, ScriptedClient
from assistants.assistant import Assistant
from assistants.personas import Persona
from assistants.techniques import Knowledge
from assistants.trial import Case


def cite(messages: Sequence[Message], sampling: Sampling) -> str:
    """Cite the first passage where there is one, and a made-up one for the second question."""
    if "[1]" not in messages[-1].content:
        return "I do not know."
    return "It glows [7]." if "How old" in messages[-1].content else "It glows [1]."


async def test_citations_are_scored_against_the_stored_passages(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With knowledge a citation is checked; without it there is no score, and a reason."""
    monkeypatch.setenv("ASSISTANTS_CACHE", str(here / ".cache"))
    (here / "notes").mkdir()
    (here / "notes" / "moths.md").write_text("A lantern moth glows at night.", "utf-8")
    persona, client = Persona("guide", "You are a guide."), ScriptedClient(cite)
    assistants = (
        Assistant(persona, client),
        Assistant(persona, client, techniques=(Knowledge.of("notes"),)),
    )
    cases = (
        Case("1", ("What does a moth do?",), source="moths.md"),
        Case("2", ("How old is a moth?",)),
        Case("3", ("Where is a moth?",), source="towns.md"),
    )
    run = await Experiment("moths", assistants, cases).run(on_progress=lambda progress: None)
    scores = run.scores("cites_sources")
    found = {(row["persona"], row["case"]): row for _, row in scores.iterrows()}
    assert found["guide+knowledge", "1"]["value"] == 1
    assert found["guide+knowledge", "1"]["detail"] == "cites moths.md"
    assert found["guide+knowledge", "2"]["value"] == 0
    assert found["guide+knowledge", "3"]["detail"] == "cites moths.md, not towns.md"
    assert found["guide", "1"]["reason"] == "no passages were given"
