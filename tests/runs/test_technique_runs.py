"""Enrichment and memory in a run: what they ask is forecast, stored, and counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from assistants.analysis import memory_savings, memory_turns
from assistants.assistant import Assistant
from assistants.clients import ScriptedClient
from assistants.experiment import Experiment
from assistants.messages import Completion, Message, Sampling, Usage
from assistants.personas import Persona
from assistants.runs import Forecast
from assistants.techniques import Enrich, Memory, Technique
from assistants.trial import Case

CASE = Case("talk", ("First question?", "Second question?", "Third question?", "Fourth question?"))
PERSONAS = (Persona("kind", "Be kind."), Persona("curt", "Be curt."))
ANSWER = "word " * 100


def experiment(*techniques: Technique, personas: Sequence[Persona] = PERSONAS) -> Experiment:
    """Return personas that answer differently, at one length, with these techniques."""
    model = ScriptedClient(
        lambda messages, sampling: f"{messages[0].content} {ANSWER}",
        default_sampling=Sampling(max_tokens=100),
    )
    assistants = [Assistant(persona, model, techniques=techniques) for persona in personas]
    return Experiment("talk", tuple(assistants), (CASE,), baseline=personas[0].name)


class Summariser:
    """A model that counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.client = ScriptedClient(self._reply, "summariser")

    def _reply(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        self.asked.append(messages[-1].content)
        return Completion(f"Note {len(self.asked)}.", usage=Usage(200, 2), total_s=0.5)


async def test_each_segment_is_summarised_once_in_a_run(tmp_path: Path) -> None:
    """Two of three earlier turns, for each persona; the fourth question adds one to the third's."""
    side = Summariser()
    memory = Memory(keep=1, client=side.client, words=20)
    run = await experiment(memory).run(tmp_path, on_progress=lambda p: None)
    assert len(side.asked) == len(set(side.asked)) == 2 * 2
    for _, transcript, _ in run.transcripts():
        last = transcript.messages[1].content
        assert last.startswith("Notes on the earlier conversation")
        assert last.endswith("\n\nThird question?")
        (record,) = transcript.techniques
        assert record.facts["shortened"] == 2
        (turn,) = memory_turns([transcript])
        assert turn.side_tokens == 2 * 202
        assert memory_savings([turn]).input_tokens > 0
    await experiment(memory).run(tmp_path, on_progress=lambda p: None)
    assert len(side.asked) == 4


def forecast(*techniques: Technique, personas: Sequence[Persona] = PERSONAS) -> Forecast:
    return experiment(*techniques, personas=personas).forecast()


def test_forecast_has_every_call() -> None:
    """Summaries are of answers, so that each persona has its own; rewrites are shared."""
    side = Summariser().client
    memory = Memory(keep=1, client=side, words=20)
    one = forecast(memory, personas=PERSONAS[:1])
    both = forecast(memory)
    assert both.output_tokens == 2 * one.output_tokens
    assert both.input_tokens == 2 * one.input_tokens
    # Two segments, each read once and written in 20 words or 27 tokens.
    plain = forecast(personas=PERSONAS[:1])
    assert one.output_tokens == plain.output_tokens + 2 * 27
    window = forecast(replace(memory, mode="window", client=None), personas=PERSONAS[:1])
    assert window.input_tokens < plain.input_tokens
    enrich = Enrich(side, "expand")
    written = forecast(enrich).output_tokens - 2 * plain.output_tokens
    assert written == forecast(enrich, personas=PERSONAS[:1]).output_tokens - plain.output_tokens
    assert written > 0
