"""Whose answer a live session keeps: the one that it showed, whoever asks the same meanwhile."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from assistants import Experiment, Message, Results, Sampling
from assistants.assistant import Assistant
from assistants.clients import ScriptedClient, echo
from assistants.errors import BadRequestError
from assistants.messages import Completion, Delta, Usage
from assistants.models import Model, Prices
from assistants.personas import Persona
from assistants.runs.store import Store
from assistants.trial import Case
from assistants.widgets.browse.browse import Browse
from assistants.widgets.chat.chat import Chat
from assistants.widgets.chat.columns import ConversationColumns
from assistants.widgets.chat.compare import Compare
from assistants.widgets.rate.rate import Rate
from support.slow_server import until

KIND, CURT = Persona("kind", "Be kind."), Persona("curt", "Be curt.")


class Drawing(ScriptedClient):
    """A model of which each draw is another one, and takes a moment."""

    def __init__(self) -> None:
        super().__init__(echo, "drawing")
        self.drawn = 0
        self.broken = ""

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        if messages[-1].content == self.broken:
            raise BadRequestError("No milk.")
        self.drawn += 1
        return Completion(f"Draw {self.drawn}.", usage=Usage(1_000, 0), finish_reason="stop")

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncIterator[Delta | Completion]:
        whole = await self.complete(messages, sampling)
        await asyncio.sleep(0.2)
        yield Delta(whole.text)
        yield whole


@pytest.fixture
def elsewhere(here: Path) -> Iterator[Path]:
    """A folder that a kernel may go to."""
    (here / "elsewhere").mkdir()
    yield here / "elsewhere"
    os.chdir(here)


def stored(widget: ConversationColumns) -> list[tuple[str, list[str]]]:
    """The answer of each trial of the widget's run, and all that is said in it, turn by turn."""
    trials = Results("results").get(widget.session.run).trials()
    with Store("results") as store:
        said = [[c.text for c in store.completions(key)] for key in trials["key"]]
    return list(zip(trials["answer"], said, strict=True))


def shown(widget: ConversationColumns) -> list[str]:
    """What stands on the page."""
    return [row["answer"] for row in widget.replies]


async def test_two_sessions_ask_the_same_at_once(here: Path) -> None:
    """Each keeps what it showed, as a draw of its own; and so for what comes next."""
    client = Drawing()
    one, other = Chat(KIND, client), Chat(KIND, client)
    for question in ("Tea?", "Milk?"):
        await asyncio.gather(one.ask(question), other.ask(question))
    for chat in (one, other):
        first, second = shown(chat)
        assert stored(chat) == [(first, [first]), (second, [first, second])]
        assert "Not stored" not in chat.static_html()
    repeats = [
        Results("results").get(each.session.run).trials()["repeat"][0] for each in (one, other)
    ]
    assert sorted(repeats) == [0, 1]


async def test_a_batch_answers_first(here: Path) -> None:
    """What it stores while a live answer is on its way stays its own, and so does the live one."""
    client = Drawing()
    chat = Chat(KIND, client)
    asked = asyncio.create_task(chat.ask("Tea?"))
    await until(lambda: bool(client.drawn))
    batch = Experiment("b", (Assistant(KIND, Drawing()),), (Case("c", ("Tea?",)),))
    with Store("results") as store:
        (trial,) = batch.trials()
        store.add_answer(trial.key, 0, Completion("First."), final=True, run="b", cost_usd=0.0,
                         attempts=1)  # fmt: skip
    await asked
    assert stored(chat) == [("Draw 1.", ["Draw 1."])]


@pytest.mark.parametrize(("drawn", "status"), [(10, "error"), (0, "ok")])
async def test_half_a_conversation_of_a_batch(here: Path, drawn: int, status: str) -> None:
    """It is gone on from only by who was told the same: other words are another conversation."""
    client = Drawing()
    client.broken = "Milk?"
    batch = Experiment("b", (Assistant(KIND, client),), (Case("c", ("Tea?", "Milk?")),))
    run = await batch.run("results", on_progress=lambda progress: None)
    assert list(run.trials()["status"]) == ["error"]
    client.broken, client.drawn = "", drawn
    chat = Chat(KIND, client)
    await chat.ask("Tea?")
    await chat.ask("Milk?")
    first, second = (f"Draw {drawn + n}." for n in (1, 2))
    assert stored(chat) == [(first, [first]), (second, [first, second])]
    assert list(run.trials()["status"]) == [status]


async def test_an_answer_is_paid_for_once(here: Path) -> None:
    """The trials of a session come to what it cost, however many turns it has."""
    client = Drawing()
    chat = Chat(KIND, client)
    chat.models[client.model] = Model(client.model, prices=Prices(input=1.0, output=1.0))
    for question in ("One?", "Two?", "Three?", "Four?"):
        await chat.ask(question)
    trials = Results("results").get(chat.session.run).trials()
    assert list(trials["cost_usd"]) == pytest.approx([0.001] * 4)
    assert sum(row["cost_usd"] for row in chat.replies) == pytest.approx(trials["cost_usd"].sum())
    assert list(trials["input_tokens"]) == [1_000, 2_000, 3_000, 4_000]


async def test_what_nobody_knows_the_price_of_stays_unknown(here: Path) -> None:
    """Of any turn: it is no reason to say that the session cost nothing."""
    client = Drawing()
    client.model = "unknown:model"
    chat = Chat(KIND, client)
    await chat.ask("One?")
    await chat.ask("Two?")
    assert Results("results").get(chat.session.run).trials()["cost_usd"].isna().all()


async def test_a_session_stays_in_its_folder(elsewhere: Path) -> None:
    """Wherever the kernel goes meanwhile: answers, votes, and what is forked or opened."""
    chat = Chat(KIND, "echo")
    await chat.ask("Tea?")
    compare = Compare([KIND, CURT], ["echo"])
    await compare.ask("Sugar?")
    run = Results("results").get(compare.session.run)
    rate, browse = Rate(run, pairs="all", rater="ann"), Browse(Results("results"))
    os.chdir(elsewhere)
    await chat.ask("Milk?")
    forked = await chat.fork([CURT])
    rate.vote("left")
    browse.open(0)
    opened = browse.open_chat(0)
    await opened.ask("And honey?")
    assert list(elsewhere.iterdir()) == []
    os.chdir(elsewhere.parent)
    assert len(stored(chat)) == 2
    assert stored(forked)
    assert stored(opened)
    assert len(run.votes()) == 1


async def test_the_disk_fills_up_beside_the_store(here: Path) -> None:
    """The page says why there is no Markdown; the run has its end, and the next answer too."""
    chat = Chat(KIND, "echo")
    await chat.ask("Tea?")
    folder = chat.session.folder
    assert folder is not None
    (folder / "transcripts").rename(folder / "away")
    (folder / "transcripts").write_text("a file, where a folder has to be")
    await chat.ask("Milk?")
    assert f"results/chat/{chat.session.run} cannot be written" in chat.static_html()
    run = Results("results").get(chat.session.run)
    assert (run.manifest["cases"], run.manifest["counts"]) == (2, {"ok": 2})
    (folder / "transcripts").unlink()
    await chat.ask("Sugar?")
    assert chat.static_html().count("cannot be written") == 1
