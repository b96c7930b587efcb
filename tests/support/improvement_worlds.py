"""Scripted models for the improvement of a persona: one sentence helps, and an editor finds it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from assistants import Experiment, Message, Sampling, ScriptedClient

PERSONA = "You judge statements. Say whether each one is true."
PARAPHRASE = "Statements are given to you. Tell of each whether it holds."
PLANTED = "Look for an exception before you answer."
IDEAS = ("Answer in one word.", "Be polite.", PLANTED, "Mind the units.")


@dataclass
class World:
    """A model that is right more often with ``PLANTED`` in its prompt; it keeps what it was asked.

    ``texts`` are what the editor answers instead of the original with one of ``IDEAS`` after it.
    """

    effect: float = 0.4
    texts: Sequence[str] = ()
    paraphrase: str = PARAPHRASE
    always: float = 0.3
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def client(self) -> ScriptedClient:
        """The model, which edits and paraphrases as well."""
        return ScriptedClient(self.answer, "world")

    def experiment(self, cases: int = 80, persona: Any = PERSONA, **more: Any) -> Experiment:
        """Return an experiment of one persona, ``judge``, on this model."""
        return Experiment.define(
            "world",
            **{
                "personas": [{"name": "judge", "system_prompt": persona}],
                "models": [self.client],
                "cases": [
                    {"id": str(i), "question": f"Is statement {i} true?", "reference": "true"}
                    for i in range(cases)
                ],
                "scorers": ["exact"],
            }
            | more,
        )

    def answer(self, messages: Sequence[Message], sampling: Sampling) -> str:
        """Answer, edit or paraphrase."""
        system, question = messages[0].content, messages[-1].content
        self.asked.append((system, question))
        if system.startswith("You improve"):
            if self.texts:
                return self.texts[sampling.repeat % len(self.texts)]
            instructions = question.partition("<instructions>\n")[2].partition("\n</inst")[0]
            idea = IDEAS[sampling.repeat % len(IDEAS)]
            return f"<instructions>\n{instructions} {idea}\n</instructions>"
        if system.startswith("You rewrite"):
            return self.paraphrase
        digest = hashlib.sha256(f"{system}\n{question}".encode()).digest()
        draw = int.from_bytes(digest[:8], "big") / 2**64
        return "True." if draw < self.always + self.effect * (PLANTED in system) else "False."

    @property
    def answered(self) -> list[tuple[str, str]]:
        """What the persona and its candidates were asked, without editor and paraphraser."""
        return [(s, q) for s, q in self.asked if not s.startswith(("You improve", "You rewrite"))]

    @property
    def edited(self) -> list[str]:
        """What the editor was shown."""
        return [question for system, question in self.asked if system.startswith("You improve")]
