"""A persona that does not reach the model as it was written is never called delivered."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest

from assistants.assistant import Assistant
from assistants.clients import OpenAIClient
from assistants.messages import Message
from assistants.personas import Persona
from assistants.runs.audit import Auditor
from support.faulty_replies import Step, http
from support.faulty_server import Request, at
from support.template_server import VERDICTS, TemplateServer, audited, template

PERSONA = (
    "You teach physics to children.\n"
    "Say <b>why</b> before you say how, and never use more than three sentences.\n"
    "End with a question."
)
QUESTION = [Message("user", "Why is the sky blue?")]


@pytest.mark.parametrize("kind", ["vllm", "llama"])
@pytest.mark.parametrize("name", VERDICTS)
async def test_every_template_is_told_for_what_it_does(name: str, kind: str) -> None:
    """Those that drop, merge, cut, change, add or refuse are caught, and good ones pass."""
    with TemplateServer(template(name), kind) as server:
        found = (await audited(server, PERSONA, QUESTION)).delivery
    assert (found.verdict, found.ok) == (VERDICTS[name], VERDICTS[name] == "delivered"), found
    assert found.known_by == ("tokens" if kind == "vllm" else "template")
    assert found.note.endswith((".", ")"))


@pytest.mark.parametrize("name", VERDICTS)
async def test_every_template_is_told_with_several_turns(name: str) -> None:
    """What holds for one question holds for a conversation."""
    turns = [*QUESTION, Message("assistant", "It scatters."), Message("user", "And sunsets?")]
    with TemplateServer(template(name)) as server:
        found = (await audited(server, PERSONA, turns)).delivery
    assert found.verdict == VERDICTS[name], found


@pytest.mark.parametrize("name", ["default", "drop-default", "prepend-turn", "llama31"])
async def test_a_default_prompt_is_seen_where_nothing_was_to_be_sent(name: str) -> None:
    """A baseline without a prompt has one, if the template puts in its own."""
    with TemplateServer(template(name)) as server:
        found = (await audited(server, None, QUESTION)).delivery
    assert (found.verdict, found.ok) == ("default inserted", False)
    assert "Its words:" in found.note


@pytest.mark.parametrize("name", ["chatml", "llama3", "mistral-first", "gemma2", "vicuna"])
async def test_nothing_is_nothing(name: str) -> None:
    """A baseline without a prompt is told as empty where the template adds no word."""
    with TemplateServer(template(name)) as server:
        found = (await audited(server, None, QUESTION)).delivery
    assert (found.verdict, found.ok) == ("empty", True)


@pytest.mark.parametrize("name", ["gemma2", "drop", "mistral-first", "chatml"])
async def test_a_persona_folded_into_the_first_question_arrives(name: str) -> None:
    """The way out for a template without a system role, and said to be that."""
    with TemplateServer(template(name)) as server:
        found = (await audited(server, PERSONA, QUESTION, persona_in="user")).delivery
    assert (found.verdict, found.persona_in, found.ok) == ("delivered", "user", True)
    assert "in the first question" in found.note


async def test_folding_does_not_hide_a_default_prompt() -> None:
    """Without a system message some templates put in their own, and it would be read first."""
    with TemplateServer(template("default")) as server:
        found = (await audited(server, PERSONA, QUESTION, persona_in="user")).delivery
    assert (found.verdict, found.ok) == ("prepended", False)


async def test_a_prompt_longer_than_the_context_is_not_delivered() -> None:
    """What does not fit is refused when it is asked, and known before."""
    with TemplateServer(template("chatml"), longest=20) as server:
        found = (await audited(server, PERSONA, QUESTION)).delivery
    assert (found.verdict, found.ok) == ("too long", False)


async def test_one_rendering_a_persona_and_no_answer() -> None:
    """The audit generates nothing, and looks at the template once."""
    personas = [Persona(f"p{i}", f"Be number {i}.") for i in range(10)]
    with TemplateServer(template("chatml")) as server:
        client = OpenAIClient("vllm:m", endpoint=at(server.url))
        auditor = Auditor(QUESTION)
        for persona in personas:
            assert (await auditor.audit(Assistant(persona, client))).delivery.ok
        await client.aclose()
    assert set(server.paths) == {"/tokenize"}
    assert len(server.requests) <= 6 + len(personas)


class Harmony(TemplateServer):
    """vLLM with gpt-oss: the tokens of its own format are one each, and its template is unused."""

    def _answered(self, request: Request) -> Sequence[Step]:
        if request.path == "/tokenize" and "prompt" in request.json:
            words = re.findall(r"<\|\w+\|>", request.json["prompt"])
            tokens = list(range(200_000, 200_000 + len(words)))
            return [http(json.dumps({"tokens": tokens}).encode())]
        return super()._answered(request)


@pytest.mark.parametrize("text", [PERSONA, None])
async def test_a_template_that_nobody_reads_proves_nothing(text: str | None) -> None:
    """Of gpt-oss vLLM shows the template, and writes the conversation without it."""
    with Harmony(template("chatml")) as server:
        found = (await audited(server, text, QUESTION)).delivery
    assert (found.verdict, found.known_by, found.ok) == ("unknown", "unknown", None)
    assert "harmony" in found.note


@pytest.mark.parametrize("fault", ["500", "401", "404", "html", "close before headers"])
async def test_a_server_that_does_not_tell_is_unknown(fault: str) -> None:
    """No proof is never a verdict, good or bad."""
    with TemplateServer(template("chatml")) as server:
        client = OpenAIClient("vllm:m", endpoint=at(server.url_of(fault)))
        found = await Auditor(QUESTION).audit(Assistant(Persona("p", PERSONA), client))
        await client.aclose()
    assert (found.delivery.verdict, found.delivery.ok) == ("unknown", None)
    assert found.delivery.detail
