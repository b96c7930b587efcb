"""What is shown of a value: one plain line, and HTML in which no text does anything."""

from __future__ import annotations

import html
import io
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import assistants
from assistants import (
    Assistant,
    Case,
    Completion,
    Experiment,
    Library,
    Limits,
    Message,
    OpenAIClient,
    Persona,
    Results,
    Sampling,
    ScriptedClient,
    Tape,
    TapedClient,
    Transcript,
    Trial,
)
from assistants.clients import echo
from assistants.messages import Usage
from assistants.models import Catalogue, Model
from assistants.utils.urls import Address
from assistants.widgets.html.render import to_csv
from support.experiments import quiet
from support.hostile_texts import MONSTERS, PAYLOADS

SECRET = "sk-canary-0123456789abcdef"

SAFE = {
    "style", "div", "span", "p", "br", "hr", "b", "i", "em", "strong", "s", "del", "code", "pre",
    "blockquote", "ul", "ol", "li", "h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody",
    "tr", "th", "td", "a", "dl", "dt", "dd", "details", "summary",
}  # fmt: skip
QUIET = {"class", "style", "align", "valign", "colspan", "border", "start", "rel", "href"}


class Reader(HTMLParser):
    """Which tags, attributes and words a page has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(value: Any) -> str:
    """What a notebook shows: the HTML, or the plain line where there is no more to say."""
    page = getattr(value, "_repr_html_", lambda: html.escape(repr(value)))()
    assert isinstance(page, str)
    return page


async def endpoint() -> Address:
    return Address("http://127.0.0.1:9/v1", SECRET)


def values(text: str) -> list[Any]:
    """One of every public value, made of this text wherever a text may be."""
    persona = Persona("art", assistants_literal(text), label=text, description=text, source=text)
    client = ScriptedClient(echo, text)
    assistant = Assistant(persona, client, Sampling(stop=(text or "x",)))
    case = Case(text, (text if text.strip() else "x", "And?"), reference=text)
    message, completion = Message("user", text), Completion(text, reasoning=text, served_model=text)
    taped = TapedClient(client, Tape("tape.jsonl"))
    return [
        persona, assistant, case, Trial(case, assistant, 1), message, Message("system", text),
        completion, Transcript((Message("system", text), message), completion), taped, taped.tape,
        Experiment("tea", (assistant,), (case,), description=text, source=text), client,
        OpenAIClient("x:m", endpoint=endpoint), Limits(usd=1), Sampling(stop=(text or "x",)),
        Model(text),
    ]  # fmt: skip


def assistants_literal(text: str) -> str:
    from assistants.personas import escape_template

    return escape_template(text)


def check_line(value: Any) -> None:
    line = repr(value)
    assert len(line) <= 120, line
    assert len(line.splitlines()) == 1, line
    assert not set(line) & set("\x1b\x07\x00\u202e\u2066\u2028"), line
    line.encode()


def check_page(value: Any) -> None:
    read = Reader(page_of(value))
    assert read.tags <= SAFE, type(value)
    assert {name for name, _ in read.attributes} <= QUIET, type(value)
    links = {value for name, value in read.attributes if name == "href"}
    assert all(link.startswith(("http://", "https://", "mailto:")) for link in links)
    assert "\u202e" not in read.text


@pytest.mark.parametrize("text", PAYLOADS)
def test_hostile_text_does_nothing(here: Path, text: str) -> None:
    """No tag, attribute or control character of a label, prompt or answer reaches a screen."""
    for value in values(text):
        check_line(value)
        check_page(value)


@pytest.mark.parametrize("text", MONSTERS, ids=range(len(MONSTERS)))
def test_long_text_makes_no_long_line(here: Path, text: str) -> None:
    """And is shown in good time."""
    for value in values(text):
        check_line(value)
    check_page(Completion(text))


@given(st.text())
def test_a_repr_is_one_line_of_whatever_text(text: str) -> None:
    """Of at most 120 characters that a terminal can show."""
    for value in values(text):
        check_line(value)


def test_a_repr_says_what_it_is() -> None:
    """In the words of the design, and only what was set."""
    client = ScriptedClient(echo, "echo")
    art = Persona("art", "Be\n an artist.", description="Looks first.")
    assistant = Assistant(art, client)
    case = Case("tea", ("Tea?",))
    done = Completion("Yes, please.", usage=Usage(1, 2))
    assert [
        repr(value)
        for value in (
            art, Persona("none", None), assistant, case, Case("tea", ("Tea?", "Why?")),
            Trial(case, assistant, 2), Message("user", "Tea?"), Message("system", "Be an artist."),
            done, Transcript((Message("user", "Tea?"),), done), Sampling(seed=3, repeat=1),
            Sampling(), Model("openai:m"), Catalogue({}, {}, {}), Library([]),
        )
    ] == [
        "Persona('art', 3 words: Looks first.)",
        "Persona('none', no text)",
        "Assistant('art on scripted:echo')",
        "Case('tea': 'Tea?')",
        "Case('tea', 2 turns: 'Tea?')",
        "Trial(art on scripted:echo, case 'tea', repeat 2)",
        "Message('user': 'Tea?')",
        "Message('system': 3 words)",
        "Completion(ok, 2 tokens: 'Yes, please.')",
        "Transcript(1 message, then Completion(ok, 2 tokens: 'Yes, please.'))",
        "Sampling(seed=3, repeat=1)",
        "Sampling()",
        "Model('openai:m')",
        "Catalogue(0 providers, 0 short names)",
        "Library(0 personas in 0 folders)",
    ]  # fmt: skip


def test_no_system_prompt_stands_in_a_line(here: Path) -> None:
    """However short it is: a prompt may be somebody's secret."""
    prompt = "Plead guilty."
    client = ScriptedClient(echo, "echo")
    assistant = Assistant(Persona("x", prompt), client)
    trial = Trial(Case("c", ("Hello?",)), assistant, 0)
    system = Message("system", prompt)
    design = Experiment("e", (assistant,), (trial.case,))
    said = Transcript((system, Message("user", "Hello?")), Completion("Hello."))
    for value in (assistant, assistant.persona, trial, system, design, said):
        assert "guilty" not in repr(value)
        assert "guilty" in page_of(value) or value is design


def test_no_key_is_shown() -> None:
    """Neither in a line nor on a page."""
    client = OpenAIClient("x:m", endpoint=endpoint)
    assistant = Assistant(Persona("x", "Hello."), client)
    for value in (client, assistant, Trial(Case("c", ("Hi",)), assistant, 0)):
        assert SECRET not in repr(value) + page_of(value)


def test_a_transcript_reads_as_a_conversation() -> None:
    """Who said what, in order; Markdown as it was meant, the system prompt folded away."""
    said = Transcript(
        (Message("system", "Be kind."), Message("user", "One?"), Message("assistant", "First."),
         Message("user", "Two?")),
        Completion("It is **two**.", "length", usage=Usage(9, 4), total_s=1.25),
    )  # fmt: skip
    page = page_of(said)
    order = ["Be kind.", "user", "One?", "assistant", "First.", "user", "Two?", "assistant",
             "It is <strong>two</strong>.", "length, 4 tokens, 1.2 s"]  # fmt: skip
    position = 0
    for words in order:
        position = page.index(words, position) + 1
    assert "<details><summary>system prompt</summary><p>Be kind.</p>" in page


async def test_an_experiment_is_a_table_of_its_design(here: Path) -> None:
    """Who answers, as what; what is asked, and how much is left out."""
    design = Experiment.define(
        "tea", personas=["none", "art"], models=["echo"], cases=[f"Cup {n}?" for n in range(9)],
        repeats=2,
    )  # fmt: skip
    text = Reader(page_of(design)).text
    for words in ("2 assistants x 9 cases x 2 repeats = 36 trials", "baseline", "art",
                  "scripted:echo", "Cup 4?", "... and 4 more"):  # fmt: skip
        assert words in text
    assert "Cup 5?" not in text


async def test_results_are_a_table_of_runs(here: Path) -> None:
    """The newest first; a run shows how it ended and its summary."""
    for name in ("first", "second"):
        design = Experiment.define(name, personas=["none"], models=["echo"], cases=["Hi"])
        run = await design.run(on_progress=quiet)
    text = Reader(page_of(Results())).text
    assert text.index("second") < text.index("first")
    assert "complete" in text
    assert repr(Results()) == "Results('results': 2 runs)"
    of_run = Reader(page_of(run)).text
    assert "1 ok" in of_run
    assert "scripted:echo" in of_run


def test_what_cannot_be_read_is_said_and_not_raised(here: Path) -> None:
    """A broken store, a broken persona, a variable without a value: the cell shows why."""
    folder = here / "results"
    folder.mkdir()
    (folder / "answers.sqlite").write_text("not a database, " * 99)
    assert repr(Results()) == "Results('results': cannot be read)"
    assert "answers.sqlite" in page_of(Results())
    (here / "broken.md").write_text("---\nlabel: [\n---\nHello.")
    assert "broken.md" in page_of(Library([here]))
    client = ScriptedClient(echo, "echo")
    assert "topic" in page_of(Assistant(Persona("x", "{{ topic }}"), client))


def test_no_text_of_a_csv_is_a_formula() -> None:
    """A spreadsheet would run it; numbers stay numbers, negative ones too."""
    texts = ["=1+1", "+1", "-1", "@x", "\t=1", "plain", 'quo"te']
    csv = to_csv(pd.DataFrame({"=name": texts, "value": [-1.5] * 7}))
    read = pd.read_csv(io.StringIO(csv))
    assert list(read) == ["'=name", "value"]
    assert list(read["'=name"]) == [
        "'=1+1", "'+1", "'-1", "'@x", "'\t=1", "plain", 'quo"te',
    ]  # fmt: skip
    assert set(read["value"]) == {-1.5}


def test_a_library_is_a_table_of_its_personas() -> None:
    """Built-in ones name no path of this machine."""
    page = page_of(Library.default())
    assert "Hypothesis, test, and how strong the evidence is" in page
    assert "built in" in page
    assert str(Path(assistants.__file__).parent) not in page


@pytest.mark.parametrize("name", sorted({*assistants.__all__} - {"connect", "AssistantsError"}))
def test_every_public_class_has_a_line_of_its_own(name: str) -> None:
    """None is shown as `<... object at 0x...>`."""
    found: Callable[..., Any] = getattr(assistants, name)
    assert found.__repr__ is not object.__repr__
