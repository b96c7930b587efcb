"""A client that several widgets share stays open for as long as any of them listens to it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from assistants.clients import OpenAIClient
from assistants.personas import Persona
from assistants.widgets.chat.chat import Chat
from assistants.widgets.chat.compare import Compare
from support.faulty_server import at
from support.slow_server import SlowServer, until

KIND, CURT = Persona("kind", "Be kind."), Persona("curt", "Be curt.")
LONG = " ".join(f"word{n}" for n in range(60))


def words(request: dict[str, object]) -> str:
    return LONG if "Long" in str(request) else "Short."


async def test_a_fork_is_not_cut_off_by_its_chat(here: Path) -> None:
    """Nor by any other widget that has its answer first; whoever is last hangs up."""
    with SlowServer(words, every=0.02) as server:
        client = OpenAIClient("x:m", endpoint=at(server.url))
        compare, chat = (
            Compare([KIND, CURT], [client], results=None),
            Chat(KIND, client, results=None),
        )
        asked = asyncio.create_task(compare.ask("Long?"))
        await until(lambda: any(row["answer"] for row in compare.replies))
        await chat.ask("Short?")
        assert chat.replies[0]["state"] == "done"
        await asyncio.wait_for(asked, 60)
        assert [(row["state"], row["answer"]) for row in compare.replies] == [("done", LONG)] * 2
        assert client._built is None
