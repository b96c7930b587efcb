"""Techniques in a chat: switched on by a checkbox, and seen in what it shows and leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistants.errors import UsageError
from assistants.messages import Completion, SideCall, TechniqueRecord, Usage
from assistants.results import Results
from assistants.runs import transcripts
from assistants.widgets import Chat, Compare
from assistants.widgets.html import techniques_html


async def test_a_column_switches_a_technique_on_and_off(tmp_path: Path) -> None:
    """Its head, its answers, the store and the transcript say so."""
    compare = Compare(["none", "art"], ["echo"], results=tmp_path)
    compare.set_technique(1, "enrich", {"model": "echo", "send": "rewrite"})
    assert [entry["on"] for entry in compare.columns[1]["techniques"]] == [True, False]
    assert not any(entry["on"] for entry in compare.columns[0]["techniques"])
    await compare.ask("What is light?")
    plain, enriched = compare.transcripts()
    assert plain is not None
    assert enriched is not None
    assert plain.techniques == ()
    (record,) = enriched.techniques
    assert "What is light?" in record.facts["rewrite"]
    assert enriched.messages[-1].content == record.facts["rewrite"]
    html = compare.static_html()
    assert html.count("<details>") == 1
    assert "enrich:" in html
    stored = Results(tmp_path).get(compare.session.run)
    trials = stored.trials()
    assert list(trials["persona"]) == ["none", "art+enrich=rephrase-rewrite"]
    assert list(trials["enrich"]) == ["none", "rephrase-rewrite"]
    files = sorted((tmp_path / compare.session.experiment).rglob("*enrich*.md"))
    read, _ = transcripts.read(files[0])
    assert read.techniques == enriched.techniques
    compare.set_technique(1, "enrich", False)
    assert not any(entry["on"] for entry in compare.columns[1]["techniques"])


async def test_an_edited_prompt_keeps_the_techniques() -> None:
    """And a switch of the persona's own prompt too."""
    compare = Compare(["art"], ["echo"], results=None)
    compare.set_technique(0, "memory", "window")
    compare.set_prompt(0, "Be brief.")
    assert compare.columns[0]["techniques"][1]["on"]
    compare.set_prompt(0)
    assert compare.columns[0]["techniques"][1]["on"]


async def test_a_chat_has_checkboxes_too() -> None:
    """One conversation, switched by the page's own command."""
    chat = Chat("none", "echo", results=None)
    chat.set_technique(0, "enrich", "echo")
    await chat.ask("Tea?")
    (transcript,) = chat.transcripts()
    assert transcript is not None
    assert transcript.techniques[0].technique == "enrich"


def test_mistakes_are_errors() -> None:
    """With the nearest word."""
    compare = Compare(["none"], ["echo"], results=None)
    with pytest.raises(UsageError, match="enrich"):
        compare.set_technique(0, "enrihc")


def test_what_was_done_is_read_and_not_run() -> None:
    """Passages, rewrites and failures are model text and strangers' files."""
    script = "<script>window.hacked=1</script>"
    call = SideCall("local:m", Completion(script, usage=Usage(3, 4), total_s=1.5))
    records = [
        TechniqueRecord("enrich", {"rewrite": script, "style": "rephrase"}, (call,)),
        TechniqueRecord(
            "knowledge",
            {"passages": [{"source": "light.md", "line": 12, "text": script, "heading": "Rays"}]},
        ),
        TechniqueRecord("memory", failure=script),
    ]
    html = techniques_html(records)
    assert "<script" not in html
    for said in ("[1] light.md:12", "Rays", "1 passage", "7 tokens", "1.5 s", "was left out"):
        assert said in html
    assert techniques_html(()) == ""
