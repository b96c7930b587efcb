"""What a page is told: everything, once, in order, and never as anything but safe HTML."""

from __future__ import annotations

import asyncio
import html
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assistants.assistant import Assistant
from assistants.clients import OpenAIClient, ScriptedClient
from assistants.personas import Persona
from assistants.utils.text import escape_control_chars
from assistants.widgets import background
from assistants.widgets.base import LiveWidget
from assistants.widgets.chat.compare import Compare
from assistants.widgets.chat.page_feed import StreamBuffer, end_of_blocks
from assistants.widgets.html import finished_html
from assistants.widgets.html.markdown import LANGUAGES, MAX_ELEMENTS, to_html
from support.hostile_texts import MONSTERS, PAYLOADS
from support.slow_server import SlowServer, until

MARKDOWN = st.lists(
    st.sampled_from(
        ["word ", "**bold** ", "\n", "\n\n", "```", "```python\n", "~~~\n", "````\n", "- item\n",
         "1. one\n", "| a | b |\n|---|---|\n| 1 | 2 |\n", "> said\n", "    code\n", "# Title\n",
         "`x`", "<b>", "&amp;", "\r\n", "\u2028", "[x](https://e.org)"]
    ), max_size=40,
)  # fmt: skip

LAYOUT = re.compile(
    r"</?(?:p|a|em|strong|b|i|s|del|ins|code|pre|blockquote|ul|ol|li|br|hr|h[1-6]|table|thead|tbody"
    r"|tr|th|td|span|small|details|summary)\b"
)


class Page:
    """What a page makes of the messages that a widget sends, without a browser."""

    def __init__(self, widget: LiveWidget, *, late: bool = False) -> None:
        self.knows = not late  # what is new means nothing to a page that knows nothing
        self.messages: list[dict[str, Any]] = []
        self.answers: dict[str, dict[str, Any]] = {}
        widget.send = self.hear  # type: ignore[method-assign] - the wire

    def hear(self, message: dict[str, Any], buffers: object = None) -> None:
        self.knows = self.knows or message["kind"] == "snapshot"
        if not self.knows:
            return
        self.messages.append(message)
        if message["kind"] == "snapshot":
            entries = [entry for column in message["columns"] for entry in column["entries"]]
            self.answers = {}
        else:
            entries = [item["entry"] for item in message["items"] if item["op"] == "entry"]
        for entry in entries:
            for answer in entry.get("answers", []):
                self.answers[answer["id"]] = dict(answer)
        for item in message.get("items", []):
            if item["op"] == "more":
                answer = self.answers[item["answer"]]
                if "html" in item:
                    answer["html"] += item["html"]
                    answer["tail"] = item["tail"]
                else:
                    answer["tail"] += item["text"]


def words_of(page: str) -> str:
    """The text of a page without its white space."""
    return re.sub(r"\s+", "", html.unescape(re.sub(r"<[^>]*>", "", page)))


@given(MARKDOWN, st.lists(st.integers(0, 9), max_size=30))
def test_the_pieces_are_the_whole(pieces: list[str], takes: list[int]) -> None:
    """However an answer is cut into pieces and messages, the page has all of it, in order."""
    text = "".join(pieces)
    arriving, page, tail = StreamBuffer(), "", ""
    cuts = iter(takes)
    raw = ""
    for piece in pieces:
        arriving.add(piece)
        if next(cuts, 1) % 2:
            item = arriving.take()
            if "html" in item:
                page, tail = page + str(item["html"]), str(item["tail"])
            else:
                tail += str(item["text"])
    item = arriving.take()
    if "html" in item:
        page, tail = page + str(item["html"]), str(item["tail"])
    else:
        tail += str(item["text"])
    raw = text[: len(text) - len(arriving.rest)]
    assert page == "".join(arriving.pages)
    assert arriving.rest == text[len(raw) :]
    if "\r" not in text:  # which may be cut from its "\n", and is then shown as "\r"
        assert tail == escape_control_chars(arriving.rest)


@given(MARKDOWN)
def test_a_block_is_never_cut_inside_of_a_fence(pieces: list[str]) -> None:
    """What is finished is rendered alone as it would be in the whole text."""
    text = "".join(pieces).replace("\r", "")
    at = end_of_blocks(text)
    block = text[:at]
    assert block == "" or block.endswith("\n")
    assert to_html(block).count("<pre>") <= to_html(text).count("<pre>")


@given(MARKDOWN)
@example(["```python\n", "an end without a line end"])
def test_a_printed_answer_is_the_one_on_the_page_without_colours(pieces: list[str]) -> None:
    """Rendering takes a while: it is done once, and comes to the same."""
    assert finished_html("".join(pieces)) == to_html("".join(pieces))


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_hostile_code_is_printed_without_colours(language: str) -> None:
    """In every language that has them, whatever stands in the code."""
    for start in range(0, len(PAYLOADS), 10):
        some = PAYLOADS[start : start + 10]
        text = "\n\n".join(f"````{language}\n{each}\n````" for each in some)
        assert finished_html(text) == to_html(text)
        assert "<span" not in finished_html(text)


def test_no_text_makes_more_of_a_page_than_a_page_can_draw() -> None:
    """An answer of 60,000 characters could come to 20,000 elements, and made pages hang."""
    for each in MONSTERS:
        assert finished_html(each, colours=True).count("<") <= 2 * MAX_ELEMENTS
    words = "```python\n" + "a = b + c\n" * 500 + "```\n"
    assert "<span" in finished_html(words, colours=True)
    assert "<code" in finished_html(words * 6, colours=True)  # too many colours: then none
    assert "<span" not in finished_html(words * 6, colours=True)


def test_code_is_one_block() -> None:
    """A blank line inside of a fenced block does not end it."""
    assert end_of_blocks("text\n\n```python\na = 1\n\nb = 2\n") == len("text\n\n")
    assert end_of_blocks("```\na\n\nb\n```\n\nafter") == len("```\na\n\nb\n```\n\n")
    assert end_of_blocks("````\n```\n\n````\n\n") == len("````\n```\n\n````\n\n")


async def test_a_page_that_listens_has_the_text_of_the_server() -> None:
    """While it streams, what was told is a beginning of the answer; at the end it is all of it."""
    text = "One **two**\n\n```python\nif a:\n\n    b\n```\n\n" + "many words " * 100
    with SlowServer(lambda request: text, every=0.005) as server:
        compare = slow(server, 2)
        page = Page(compare)
        asked = asyncio.create_task(compare.ask("Words?"))
        await until(lambda: len(page.messages) > 6)
        for answer in list(page.answers.values()):
            seen = words_of(answer["html"] + html.escape(answer.get("tail", "")))
            assert words_of(to_html(text)).startswith(seen.replace("*", "")[:9])
        await asked
    assert [answer["text"] for answer in page.answers.values()] == [text, text]
    assert all(a["html"] == to_html(text, colours=True) for a in page.answers.values())
    assert [m["seq"] for m in page.messages] == list(range(1, len(page.messages) + 1))
    compare.close()


async def test_a_page_opened_in_the_middle_catches_up() -> None:
    """A reload asks for everything, and from there on the deltas fit."""
    text = "many words " * 60
    with SlowServer(lambda request: text, every=0.01) as server:
        compare = slow(server, 2)
        first = Page(compare)
        asked = asyncio.create_task(compare.ask("Words?"))
        await until(lambda: len(first.messages) > 5)
        second = Page(compare, late=True)
        compare._on_message(compare, {"do": "resync", "page": "second"}, [])
        await until(lambda: len(second.messages) > 4)
        for answer in list(second.answers.values()):
            seen = words_of(answer["html"] + answer["tail"])
            assert words_of(text).startswith(seen)
            assert len(seen) > 20
        await asked
    assert [answer["text"] for answer in second.answers.values()] == [text, text]
    compare.close()


async def test_an_answer_costs_little_traffic() -> None:
    """2,000 tokens, streamed: fewer than 15 messages a second, and less than 0.5 MB."""
    text = " ".join(f"token{n}" + ("\n\n" if n % 40 == 39 else "") for n in range(2000))
    with SlowServer(lambda request: text, every=0.01, at_once=10) as server:
        compare = slow(server, 1)
        page = Page(compare)
        began = asyncio.get_running_loop().time()
        await compare.ask("Words?")
        seconds = asyncio.get_running_loop().time() - began
    envelope = 1_500  # of a message: headers, signature and metadata
    assert sum(len(str(m)) + envelope for m in page.messages) < 500_000
    assert len(page.messages) <= seconds * 15 + 5
    compare.close()


@pytest.mark.parametrize("start", range(0, len(PAYLOADS), 20))
async def test_hostile_text_reaches_no_page_as_html(start: int) -> None:
    """Answers, questions and errors: the only HTML is what markdown.py made of them."""
    payload = "\n\n".join(PAYLOADS[start : start + 20])
    attack = payload.replace("{{", "{ {").replace("{%", "{ %").replace("{#", "{ #")
    persona = Persona("x", attack, label=attack)
    client = ScriptedClient(lambda messages, sampling: payload, "x")
    compare = Compare(assistants=[Assistant(persona, client)], results=None)
    page = Page(compare)
    await compare.ask(payload)
    background.call(lambda: compare.resync("p"))
    for message in page.messages:
        for markup in _markup(message):
            for part in re.findall(r"<[^>]*>", markup):
                assert LAYOUT.match(part), part
                assert not re.search(r"\s(?:on\w+|style|src|srcset)\s*=", part), part
    for part in re.findall(r"<[^>]*>", compare.static_html()):
        assert LAYOUT.match(part), part
    compare.close()


async def test_a_wrong_wish_of_a_page_is_told_to_it() -> None:
    """And does no harm: the widget goes on."""
    compare = Compare(["none"], ["echo"], results=None)
    for wish in (
        {"do": "ask", "question": ""},
        {"do": "stop", "column": "nowhere"},
        {"do": "ask", "nonsense": 1},
    ):
        compare.notice = ""
        compare._on_message(compare, wish, [])
        await until(lambda: bool(compare.notice))
    compare._on_message(compare, {"do": "close"}, [])
    compare._on_message(compare, {"do": "__init__"}, [])
    await compare.ask("Hello?")
    assert compare.replies[0]["state"] == "done"
    compare.close()


def _markup(value: Any, name: str = "") -> list[str]:
    if isinstance(value, dict):
        return [part for key, each in value.items() for part in _markup(each, key)]
    if isinstance(value, list):
        return [part for each in value for part in _markup(each, name)]
    return [value] if name == "html" else []


def slow(server: SlowServer, columns: int) -> Compare:
    """Columns on a slow server."""
    assistants = [
        Assistant(
            Persona(f"p{n}", "x"),
            OpenAIClient("x:m", endpoint=_at(server.url)),
        )
        for n in range(columns)
    ]
    return Compare(assistants=assistants, results=None)


def _at(url: str) -> Any:
    from support.faulty_server import at

    return at(url)
