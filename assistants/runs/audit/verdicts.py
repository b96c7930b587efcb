"""Verdicts on what became of a persona on its way to the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from assistants.utils import truncate_line

Verdict = Literal[
    "delivered", "empty", "counted",
    "refused", "dropped", "truncated", "altered", "broken out", "repeated", "merged", "misplaced",
    "prepended", "followed", "default inserted", "too long", "not counted",
    "not audited", "unknown",
]  # fmt: skip

KnownBy = Literal["tokens", "template", "token counts", "unknown"]
"""Proof by the tokens or the text that the model reads, weaker evidence, or nothing."""

_IN_USER = "`system_prompt_in: user` in the experiment, or --system-prompt-in user"
_FIT = "use another template (`--chat-template FILE`) or another model"

MEANS: dict[str, str] = {
    "delivered": "The persona reached the model word for word, in the system slot.",
    "empty": "No system prompt was to be sent, and none stands in what the model reads.",
    "counted": "The input tokens rose as a text of this length would make them rise. "
    "This is no proof: the server does not show what the model reads.",
    "refused": "The template refuses a system message, so nothing would be answered: put the "
    "persona into the first question (" + _IN_USER + "), or " + _FIT + ".",
    "dropped": "The persona is not in what the model reads: put it into the first question "
    "(" + _IN_USER + "), or " + _FIT + ".",
    "truncated": "A part of the persona is missing in what the model reads: shorten it, or "
    + _FIT
    + ".",
    "altered": "The persona does not stand as written in what the model reads: " + _FIT + ".",
    "broken out": "The persona holds a control token of the template, so the model reads the rest "
    "as something else: take it out of the text.",
    "repeated": "The persona stands more than once in what the model reads: " + _FIT + ".",
    "merged": "The persona stands inside the user's turn, so the model cannot tell it from the "
    "question: " + _FIT + ", or read its effect as that of a longer question.",
    "misplaced": "The persona stands elsewhere than before the first question: " + _FIT + ".",
    "prepended": "The template puts words of its own before the persona: " + _FIT + ".",
    "followed": "The template puts words of its own after the persona: " + _FIT + ".",
    "default inserted": "No system prompt was to be sent, and the template puts in one of its "
    "own: compare with a persona `{name: bare, system_prompt: ''}`, which sends an empty system "
    "message, or " + _FIT + ".",
    "too long": "The prompt does not fit the model's context: shorten the persona, or serve the "
    "model with a longer one (--max-model-len).",
    "not counted": "The input tokens did not rise as a text of this length would make them: look "
    "at what your server sends on.",
    "not audited": "Nothing was audited.",
    "unknown": "Nothing is known about the delivery.",
}
"""A sentence per verdict: what happened, and what to do next."""

GOOD = ("delivered", "empty")
OPEN = ("counted", "not audited", "unknown")
"""Neither proven nor refuted."""
MILD = ("merged", "prepended", "followed", "default inserted")
"""Verdicts where the model reads the whole persona, though not alone."""

AS_WITHOUT = ", as it does without a persona."
"""The end of a detail where the template's own words do not tell personas apart."""


@dataclass(frozen=True, slots=True)
class PromptAudit:
    """The verdict on one persona on one model.

    ``persona_in`` says where the assistant puts it: the ``system`` message, or the first question
    (``user``). ``tokens`` is how many it adds to the prompt, ``detail`` what was seen.
    """

    persona: str
    model: str
    verdict: Verdict
    known_by: KnownBy = "unknown"
    persona_in: str = "system"
    tokens: int | None = None
    detail: str = ""
    digest: str = ""

    def __repr__(self) -> str:
        return truncate_line(f"PromptAudit({self.persona} on {self.model}: {self.verdict})", 120)

    @property
    def ok(self) -> bool | None:
        """True if it was delivered, false if not; ``None`` where that is not proven either way."""
        return None if self.verdict in OPEN else self.verdict in GOOD

    @property
    def note(self) -> str:
        """A sentence of what happened, what was seen, and what to do next."""
        means = MEANS.get(self.verdict, "")
        if self.persona_in == "user" and self.verdict == "delivered":
            means = "The persona reached the model word for word, in the first question."
        return f"{means} {self.detail}".rstrip()

    @property
    def severity(self) -> int:
        """The distance from being delivered, from 0; what is not proven is worse than what is."""
        if self.ok is None:
            return 1
        return 0 if self.ok else 2 if self.verdict in MILD else 3

    def as_dict(self) -> dict[str, Any]:
        """Return the audit as a manifest holds it."""
        return asdict(self)


def worst(audits: Sequence[PromptAudit]) -> PromptAudit:
    """Return the audit that is furthest from delivered, the first of several."""
    return max(audits, key=lambda audit: audit.severity)
