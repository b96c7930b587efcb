"""What the answers of a column come to, in its head; and what becomes of a page's wishes."""

from __future__ import annotations

import asyncio
import fcntl
from pathlib import Path
from typing import Any

import pytest

from assistants.clients import OpenAIClient, ScriptedClient, echo, registry
from assistants.messages import Completion, Usage
from assistants.personas import Persona
from assistants.widgets.chat.answer_stats import total_facts
from assistants.widgets.chat.chat import Chat
from assistants.widgets.chat.compare import Compare
from assistants.widgets.chat.turns import Answer
from support.faulty_server import FaultyServer, at
from support.slow_server import SlowServer, until

KIND = Persona("kind", "Be kind.")
SAID = "Six words are in this answer."


def given(tokens: int | None, first: float | None = 0.5, total: float | None = 2.5) -> Answer:
    """An answer as a model finished it."""
    done = Completion("Yes.", usage=Usage(9, tokens), first_token_s=first, total_s=total)
    chat = Chat(KIND, "echo", results=None)
    return Answer(chat._columns[0].assistant, (), text="Yes.", state="done", completion=done)


def test_a_sum_of_what_is_known() -> None:
    """Tokens and dollars are added up, the first token is the median, the speed that of all."""
    answers = [given(11, 0.1, 1.1), given(31, 0.9, 1.9), given(51, 0.2, 3.2)]
    assert total_facts(answers, lambda answer: 0.001) == [
        "3 answers", "93 tokens", "$0.0030", "first token 0.20 s", "18 tokens/s",
    ]  # fmt: skip


def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    """It is never told as if it were the whole; what is on its way or failed is not in it."""
    answers = [given(11), given(None)]
    costs = {answers[0].id: 0.001, answers[1].id: None}
    assert total_facts(answers, lambda answer: costs[answer.id]) == [
        "2 answers", "cost unknown", "first token 0.50 s", "5 tokens/s",
    ]  # fmt: skip
    assistant = answers[0].assistant
    others = [Answer(assistant, ()), Answer(assistant, (), state="failed", error="No.")]
    assert total_facts([answers[0], *others], lambda answer: 0.0)[:3] == [
        "1 answer", "1 failed", "11 tokens",
    ]  # fmt: skip
    assert total_facts(others, lambda answer: None) == ["1 failed"]
    assert total_facts(others[:1], lambda answer: None) == []


async def test_the_head_of_a_column_is_the_sum_of_its_replies(here: Path) -> None:
    """Follow-ups and repeats count; one answer says it alone, unless its column is folded."""
    with SlowServer(lambda request: SAID, every=0.001) as server:
        client = OpenAIClient("x:m", endpoint=at(server.url))
        compare = Compare([KIND, "none"], [client], results=None)
        first, second = (head["id"] for head in compare.columns)
        await compare.ask("One?")
        assert compare.sums == {first: "", second: ""}
        compare.collapse(1)
        assert compare.sums[second].startswith("1 answer · 6 tokens · cost unknown · first token ")
        await compare.ask("Two?", repeats=2)
    tokens = sum(row["output_tokens"] for row in compare.replies if row["column"] == 0)
    assert compare.sums[first].startswith(f"3 answers · {tokens} tokens · cost unknown · first")
    assert compare.sums[first].endswith(" tokens/s")
    compare.clear()
    assert compare.sums == {first: "", second: ""}


async def test_what_was_stopped_costs_nothing_only_where_nothing_costs() -> None:
    """The part that came was paid for; nobody knows how much."""
    with SlowServer(lambda request: SAID * 50) as server:
        client = OpenAIClient("x:m", endpoint=at(server.url))
        compare = Compare([KIND], [client], results=None)
        asked = asyncio.create_task(compare.ask("Words?"))
        await until(lambda: bool(compare.replies) and bool(compare.replies[0]["answer"]))
        await compare.stop()
        await asked
        compare.collapse(0)
        (said,) = compare.sums.values()
        assert said == "1 answer · cost unknown"


class Page:
    """What a page is told of its own wishes."""

    def __init__(self, widget: Any) -> None:
        self.widget = widget
        self.told: list[tuple[str, int]] = []
        self.count = 0
        widget.send = self.hear  # the wire

    def hear(self, message: dict[str, Any], buffers: object = None) -> None:
        if message["kind"] in ("heard", "refused") and message["page"] == "mine":
            self.told.append((message["kind"], message["nth"]))

    async def wish(self, **content: Any) -> None:
        self.count += 1
        self.widget._on_message(self.widget, {**content, "nth": self.count, "page": "mine"}, [])
        await until(lambda: ("heard", self.count) in self.told)


async def test_a_page_is_told_that_it_was_heard(here: Path) -> None:
    """At once, not at the end of the answers; and told apart, whether it is done."""
    with SlowServer(lambda request: SAID) as server:
        compare = Compare([KIND], [OpenAIClient("x:m", endpoint=at(server.url))], results=None)
        page = Page(compare)
        await page.wish(do="ask", question="One?")
        await until(lambda: compare.state == "answering")
        await page.wish(do="ask", question="Two?")
        await until(lambda: ("refused", 2) in page.told)
        assert "still on its way" in compare.notice
        await until(lambda: compare.state == "idle" and bool(compare.replies))
        assert page.told == [("heard", 1), ("heard", 2), ("refused", 2)]
        assert [row["question"] for row in compare.replies] == ["One?"]


async def test_a_model_of_any_name_can_be_wished_for(here: Path, server: FaultyServer) -> None:
    """One that no list has; and a name that nobody knows is refused with what is like it."""
    chat = Chat(KIND, "echo", results=None)
    page = Page(chat)
    await page.wish(do="switch", model="smolm2")
    await until(lambda: ("refused", 1) in page.told)
    assert "Did you mean 'smollm2'" in chat.notice
    await page.wish(do="switch", model="vllm:some/model")
    await until(lambda: chat.model == "vllm:some/model")
    assert chat.models_known[-1] == "vllm:some/model"
    assert chat.notice == ""


async def test_running_servers_can_be_chosen(
    here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Those that ``assistants serve`` has started since, too, as soon as somebody looks."""
    monkeypatch.setenv("ASSISTANTS_CACHE", str(tmp_path / "cache"))
    chat = Chat(KIND, ScriptedClient(echo, "echo"), results=None)
    assert "vllm:new" not in chat.models_known
    for name in ("new", "gone"):
        record = registry.ServerRecord(
            name, name, name, "http://127.0.0.1:9", "k" * 20, "python", "log", 1, 1, 0.0
        )
        registry.write(record)
        registry.lock_path(name).touch()
    with registry.lock_path("new").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        await Page(chat).wish(do="look")
        await until(lambda: "vllm:new" in chat.models_known)
    assert "vllm:gone" not in chat.models_known
