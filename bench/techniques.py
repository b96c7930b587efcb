"""Do memories save what they say, and is a stale fact caught? Conversations whose truth is known.

    python bench/techniques.py [--conversations 200] [--check]

- **savings**: conversations of random length are sent whole, and through a memory. A scripted model
  counts words, so that the true savings are the difference of its two counts, less the words that
  the summariser read and wrote. Beside them stands what ``memory_savings`` makes of the transcripts
  of the memory alone, which do not hold the whole history.
- **stale facts**: an appointment is moved, small talk follows, and somebody asks for it. The model
  repeats the last date that it was sent. A faithful summariser, an unfaithful one, which brings
  back the first date, a window and the whole history are each graded by ``stale_facts``.

The promise, for ``--check``: savings within 2% of the truth over all conversations, within 10% in
each, and the summariser's own calls counted exactly; every stale fact is caught, and no other
answer is called stale.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from assistants.analysis import MemorySavings, memory_savings, memory_turns
from assistants.assistant import Assistant
from assistants.clients import Client, ScriptedClient
from assistants.messages import Completion, Message, Sampling, Transcript
from assistants.personas import Persona
from assistants.scoring import ScorerInput, apply_scorer, make_scorer
from assistants.techniques import Memory

PERSONA = Persona("guide", "You are a guide. Answer briefly, and stay with the facts.")
DATE = re.compile(r"\d+ (?:May|June|July)")
TOLERANCE = 0.02
TOLERANCE_OF_EACH = 0.10

Arms = dict[str, Memory]


@dataclass(frozen=True)
class Saved:
    """What one conversation saved, in tokens: as computed, and in truth."""

    computed: MemorySavings
    input_tokens: int
    side_tokens: int

    @property
    def error(self) -> float:
        """Relative error of the input tokens saved."""
        return abs(self.computed.input_tokens - self.input_tokens) / max(1, self.input_tokens)


class Answers:
    """Models' answers by request, as the store of a run keeps them."""

    def __init__(self) -> None:
        self.kept: dict[tuple[object, ...], Completion] = {}

    async def __call__(
        self, client: Client, messages: Sequence[Message], sampling: Sampling
    ) -> Completion:
        key = (client.model, tuple(messages), sampling)
        if key not in self.kept:
            self.kept[key] = await client.complete(messages, sampling)
        return self.kept[key]


async def talk(
    memory: Memory, model: Client, questions: Sequence[str], call: Answers
) -> list[Transcript]:
    """Return the transcripts of a conversation."""
    assistant = Assistant(PERSONA, model, techniques=(memory,))
    history: list[Message] = []
    transcripts: list[Transcript] = []
    for question in questions:
        history.append(Message("user", question))
        transcripts.append(await assistant.reply(history, call=call))
        history.append(Message("assistant", transcripts[-1].completion.text))
    return transcripts


def words(rng: random.Random, count: int) -> str:
    """Return words of the lengths that English has."""
    return " ".join(
        "".join(rng.choices("etaoinshrdlu", k=rng.choice((2, 3, 3, 4, 4, 5, 6, 8))))
        for _ in range(count)
    )


async def saved(seed: int) -> Saved:
    """Return what a random memory saves in a random conversation."""
    rng = random.Random(seed)
    questions = [
        f"{number} {words(rng, rng.randint(5, 40))}" for number in range(rng.randint(6, 16))
    ]
    answers = [words(rng, rng.randint(40, 200)) for _ in questions]
    limit = rng.randint(15, 30)
    summary = words(rng, limit)

    def answer(messages: Sequence[Message], sampling: Sampling) -> str:
        own = messages[-1].content.rpartition("\n\n")[2]  # below the notes
        return answers[int(own.split()[0])]

    summariser = ScriptedClient(lambda messages, sampling: summary, "summariser")
    memory = Memory(keep=rng.randint(0, 3), client=summariser, words=limit, turns=rng.randint(1, 3))
    model, call = ScriptedClient(answer, "model"), Answers()
    sent = await talk(memory, model, questions, call)
    whole = await talk(memory.control("full"), model, questions, call)
    side = [c.usage for (name, *_), c in call.kept.items() if name == summariser.model]
    return Saved(
        memory_savings(memory_turns(sent)),
        sum(map(read_words, whole)) - sum(map(read_words, sent)),
        sum((usage.input_tokens or 0) + (usage.output_tokens or 0) for usage in side),
    )


def read_words(transcript: Transcript) -> int:
    """Return the words that the model read."""
    return transcript.completion.usage.input_tokens or 0


async def stale(seed: int) -> dict[str, float | None]:
    """Return the score of each arm in a conversation in which an appointment is moved."""
    rng = random.Random(seed)
    month = rng.choice(("May", "June", "July"))
    old, new = (f"{day} {month}" for day in rng.sample(range(1, 29), 2))
    questions = [
        f"Note that we meet on {old}. {words(rng, 30)}",
        f"I was wrong: we meet on {new}. {words(rng, 30)}",
        *(words(rng, 30) for _ in range(rng.randint(1, 4))),
        "When do we meet?",
    ]

    def answer(messages: Sequence[Message], sampling: Sampling) -> str:
        if not messages[-1].content.endswith("When do we meet?"):
            return "Noted."
        dates = DATE.findall(" ".join(message.content for message in messages))
        return f"We meet on {dates[-1]}." if dates else "I do not know."

    def faithful(messages: Sequence[Message], sampling: Sampling) -> str:
        return f"They meet on {' '.join(DATE.findall(messages[-1].content)) or 'no date'}."

    def unfaithful(messages: Sequence[Message], sampling: Sampling) -> str:
        return faithful(messages, sampling).replace(new, old)

    arms: Arms = {
        "whole history": Memory(mode="full"),
        "faithful summary": Memory(1, client=ScriptedClient(faithful, "faithful"), words=12),
        "unfaithful summary": Memory(1, client=ScriptedClient(unfaithful, "unfaithful"), words=12),
        "extract": Memory(1, "extract"),
        "window": Memory(1, "window"),
    }
    scorer = make_scorer({"stale_facts": {"new": new, "old": old}})
    scores: dict[str, float | None] = {}
    for name, memory in arms.items():
        transcripts = await talk(memory, ScriptedClient(answer, "model"), questions, Answers())
        reply = transcripts[-1].completion.text
        scores[name] = apply_scorer(scorer, ScorerInput(questions[-1], reply)).value
    return scores


EXPECTED = {
    "whole history": 1.0,
    "faithful summary": 1.0,
    "unfaithful summary": 0.0,
    "extract": 1.0,
    "window": None,
}
"""The true score of each arm: a window knows neither date, and has none."""


def broken_promises(conversations: int) -> list[str]:
    """Print what was measured, and return what is not as promised."""
    broken: list[str] = []
    savings = [asyncio.run(saved(seed)) for seed in range(conversations)]
    errors = sorted(each.error for each in savings)
    truth = sum(each.input_tokens for each in savings)
    error = abs(sum(each.computed.input_tokens for each in savings) / truth - 1)
    paid = [each.computed.break_even_turn for each in savings]
    print(
        f"savings: {conversations} conversations; error of the input tokens saved: {error:.2%} "
        f"over all, median {errors[len(errors) // 2]:.2%}, largest {errors[-1]:.2%}; "
        f"{sum(turn is not None for turn in paid)} paid"
    )
    if error > TOLERANCE or errors[-1] > TOLERANCE_OF_EACH:
        broken.append(f"savings are {error:.1%} from the truth, of one {errors[-1]:.1%}")
    if any(each.computed.side_tokens != each.side_tokens for each in savings):
        broken.append("the summariser's tokens are miscounted")
    graded = [asyncio.run(stale(seed)) for seed in range(conversations)]
    for arm, grade in EXPECTED.items():
        right = sum(scores[arm] == grade for scores in graded)
        print(f"stale facts: {arm}: {right} of {conversations} graded {grade}")
        if right < conversations:
            broken.append(f"stale facts: {arm} is not always graded {grade}")
    return broken


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--conversations", type=int, default=200)
    options.add_argument("--check", action="store_true")
    chosen = options.parse_args()
    broken = broken_promises(chosen.conversations)
    for promise in broken:
        print(f"broken: {promise}")
    return int(chosen.check and bool(broken))


if __name__ == "__main__":
    sys.exit(main())
