"""Nobody's answer is shown as somebody else's: on the page, in the copy, in the names."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from assistants.personas import Persona
from assistants.widgets.base import LiveWidget
from assistants.widgets.chat.chat import Chat
from assistants.widgets.chat.compare import Compare
from assistants.widgets.chat.turns import AssistantSwitch

KIND, CURT = Persona("kind", "Be kind."), Persona("curt", "Be curt.")


def left(widget: LiveWidget) -> str:
    """What is left of a widget, as one reads it."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", widget.static_html())).split())


def by(widget: LiveWidget, turn: int = 0, column: int = 0) -> list[str]:
    """Whom a page names below a question, answer by answer."""
    entries = widget.snapshot()["columns"][column]["entries"]
    turns = [entry for entry in entries if "question" in entry]
    return [answer["author"] for answer in turns[turn]["answers"]]


async def test_an_edit_before_a_switch_keeps_the_switch(here: Path) -> None:
    """The edited question is answered by whoever answers now, and the transcript says so."""
    chat = Chat(KIND, "echo", results=None)
    for question in ("One?", "Two?"):
        await chat.ask(question)
    chat.switch(CURT)
    await chat.ask("Three?")
    await chat.edit(1, "Zwei?")
    said = left(chat)
    assert "Three?" not in said
    places = ("system: Be kind.", "curt on scripted:echo answers from here on", "system: Be curt.")
    assert said.count("from here on") == 1
    assert sorted(places, key=said.index) == list(places)
    assert by(chat, 0) == by(chat, 1) == [""]


async def test_an_edit_says_no_more_than_that(here: Path) -> None:
    """No change where nobody else answers: at the beginning, or after there and back."""
    chat = Chat(KIND, "echo", results=None)
    for persona in (KIND, CURT, KIND):
        chat.switch(persona)
        await chat.ask(f"Who, {persona.name}?")
    await chat.edit(1, "Who are you?")
    assert "from here on" not in left(chat)
    chat.switch(CURT)
    await chat.edit(0, "You?")
    assert "from here on" not in left(chat)
    assert by(chat) == [""]


async def test_an_answer_of_somebody_else_says_whose_it_is(here: Path) -> None:
    """Regenerated after a switch, it stands with the former one: both say it, and no other."""
    chat = Chat(KIND, "echo", results=None)
    await chat.ask("One?")
    await chat.regenerate()
    assert by(chat) == ["", ""]
    chat.switch(CURT)
    await chat.regenerate()
    await chat.ask("Two?")
    kind, curt = "kind on scripted:echo", "curt on scripted:echo"
    assert by(chat, 0) == [kind, kind, curt]
    assert by(chat, 1) == [""]
    said = left(chat)
    assert f"Answered by {curt} system: Be curt." in said
    assert said.count(f"Answered by {kind} system: Be kind.") == 2
    assert said.count("Answered by") == 3


async def test_a_page_hears_whose_the_former_answer_was(here: Path) -> None:
    """It was told the answer when that went without saying."""
    compare = Compare([KIND, CURT], ["echo"], results=None)
    told: dict[str, Any] = {}

    def hear(message: dict[str, Any], buffers: object = None) -> None:
        for item in message.get("items", []):
            for each in item.get("entry", {}).get("answers", []):
                told[each["id"]] = each

    compare.send = hear
    await compare.ask("One?")
    assert [each["author"] for each in told.values()] == ["", ""]
    compare.set_prompt(0, "Be terse.")
    await compare.regenerate(0)
    assert sorted(each["author"] for each in told.values()) == [
        "", "kind on scripted:echo", "kind-edited on scripted:echo",
    ]  # fmt: skip
    assert left(compare).count("Answered by") == 2


async def test_everybody_goes_on_from_what_another_one_said(here: Path) -> None:
    """In the columns of a fork, the earlier answers are the chat's."""
    chat = Chat(KIND, "echo", results=None)
    for question in ("One?", "Two?"):
        await chat.ask(question)
    compare = await chat.fork([CURT])
    assert [by(compare, 0, column) for column in (0, 1)] == [[""], ["kind on scripted:echo"]]
    assert [by(compare, 1, column) for column in (0, 1)] == [[""], [""]]


async def test_two_texts_never_have_one_name(here: Path) -> None:
    """Each edit that was asked has a name of its own, also where nothing is stored."""
    chat = Chat(KIND, "echo", results=None)
    for text in ("Be terse.", "Be brief.", "Be short.", "Be brief."):
        chat.set_prompt(0, text)
        await chat.ask("Who?")
    names = [row["persona"] for row in chat.replies]
    assert names == ["kind-edited", "kind-edited-2", "kind-edited-3", "kind-edited-2"]
    (column,) = chat._columns
    assert sum(isinstance(entry, AssistantSwitch) for entry in column.conversation.entries) == 3
