"""Enrichment: a sidecar puts a question into other words before the model sees it.

Deng et al. (2023), "Rephrase and Respond", arXiv:2311.04205, send both the question and its
rewrite, which two models may share: that is the usual way here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from assistants.clients import Client
from assistants.errors import SidecarReplyError, UsageError, nearest
from assistants.messages import Sampling, SideCall, TechniqueRecord
from assistants.techniques.base import USUAL, Ask, Draft, Load, Sidecar
from assistants.techniques.quotation import defuse, quote

Send = Literal["both", "rewrite", "query"]
"""The place of a rewrite: sent below the question, sent in its place, or only searched with."""

ECHO = "echo"

PROMPTS: Mapping[str, str] = {
    "rephrase": "Rephrase and expand the question below, so that another model can answer it "
    "better. Keep all information of the question, and add no facts. Do not answer it. Reply with "
    "the rephrased question alone.",
    "rewrite": "Rewrite the question below: clear, complete, and without mistakes of spelling and "
    "grammar. Keep its meaning and all its information. Do not answer it. Reply with the rewritten "
    "question alone.",
    "expand": "Somebody will search notes for the answer to the question below. Write up to ten "
    "terms to search with: names, synonyms and related words. Do not answer it. Reply with the "
    "terms alone, on one line.",
    "paraphrase": "Say the question below in other words, at about the same length. Add nothing, "
    "leave nothing out, and make nothing clearer. Do not answer it. Reply with the paraphrase "
    "alone.",
}
"""Styles, and the system prompt of each."""

_USUAL_SEND: Mapping[str, Send] = {"rewrite": "rewrite", "expand": "query"}

_RESULTS: Mapping[str, str] = {
    "rephrase": "rephrased question",
    "rewrite": "rewritten question",
    "expand": "search terms",
    "paraphrase": "paraphrase",
}
_CUE = "Do not answer the question. Reply with the {result} alone:"
"""Said once more below the question: a small model follows what it read last."""

_FRAME = "The same question in other words; where the two differ, the first holds:"
_CONTEXT = "Earlier questions of the same conversation:"
_EARLIER = 3
"""Earlier questions that a sidecar sees: "and in 1950?" means nothing by itself."""

_LONGEST_EARLIER = 500
_TIMES, _SHORTEST_LIMIT, _LONGEST_LIMIT = 10, 400, 8_000
_CHARS_PER_TOKEN = 4
_REVISION = 1
"""Goes up when what is sent for equal settings changes: earlier answers are then not its own."""


@dataclass(frozen=True, slots=True)
class Enrich:
    """The question in other words, by a sidecar, for the model that answers it.

    The rewrite is the text of a model: it stands below the person's own question, quoted, unless
    ``send`` says otherwise. A sidecar sees earlier questions and no answers, so that all assistants
    that are asked the same share its rewrites.

    Attributes
    ----------
    client
        The sidecar's model; ``None`` for ``echo``, which has none.
    style
        ``rephrase``, ``rewrite``, ``expand``, ``paraphrase``, ``echo``, or the name of ``prompt``.
    send
        ``both``; ``rewrite``, in place of the question; or ``query``: a rewrite to search a
        knowledge folder with, that the model never sees. By default what is usual for the style.
    prompt
        A system prompt of one's own for the sidecar.
    sampling
        Sampling of the sidecar.
    label
        The value in a table's column.
    rewrite
        A rewrite that a person wrote or edited. No model is asked.
    """

    client: Client | None = None
    style: str = "rephrase"
    send: Send | None = None
    prompt: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    label: str = ""
    rewrite: str | None = None

    name: ClassVar[str] = "enrich"
    fails_open: ClassVar[bool] = True

    def __post_init__(self) -> None:
        usual = _USUAL_SEND.get(self.style, "both")
        if self.prompt is None and self.style not in (*PROMPTS, ECHO):
            raise UsageError(
                f"enrich: there is no style {self.style!r}.", fix=nearest(self.style, PROMPTS)
            )
        if self.prompt is not None and not self.prompt.strip():
            raise UsageError(f"enrich: the prompt {self.style!r} is empty.")
        if self.client is None and self.style != ECHO and self.rewrite is None:
            raise UsageError(f"enrich: the style {self.style!r} needs a model.")
        if self.rewrite is not None and not self.rewrite.strip():
            raise UsageError("enrich: the rewrite is empty.", fix="Write one, or do not enrich.")
        send = self.send or usual
        if self.style == ECHO and send == "rewrite":
            raise UsageError("enrich: an echo in place of the question is the question.")
        object.__setattr__(self, "send", send)
        if not self.label:
            label = self.style if send == usual else f"{self.style}-{send}"
            object.__setattr__(self, "label", USUAL if label == "rephrase" else label)

    @property
    def sidecars(self) -> tuple[Sidecar, ...]:
        """The model that rewrites, unless a person or nobody does."""
        if self.client is None or self.rewrite is not None:
            return ()
        prompt = PROMPTS[self.style] if self.prompt is None else self.prompt
        return (Sidecar(self.client, prompt, self.sampling),)

    @property
    def parts(self) -> Mapping[str, Any]:
        """Its settings, and the sidecar's."""
        return {
            "revision": _REVISION,
            "style": self.style,
            "send": self.send,
            "sidecar": [sidecar.parts for sidecar in self.sidecars],
            **({} if self.rewrite is None else {"rewrite": self.rewrite}),
        }

    async def apply(self, draft: Draft, ask: Ask) -> Draft:
        """Return the draft with the question in other words.

        Raises
        ------
        CallError
            If the sidecar fails, or its rewrite is so long that it is none.
        """
        if self.style == ECHO:
            return self.apply_rewrite(draft, draft.question)
        if self.rewrite is not None:
            return self.apply_rewrite(draft, self.rewrite, edited=True)
        (sidecar,) = self.sidecars
        call = await ask(sidecar, self._request(draft))
        rewrite = _without_quotes(call.completion.text)
        limit = max(_SHORTEST_LIMIT, min(_TIMES * len(draft.question), _LONGEST_LIMIT))
        if len(rewrite) > limit:
            raise SidecarReplyError(
                f"{call.model}: the rewrite has {len(rewrite):,} characters; at most {limit:,} are "
                "sent with this question.",
                partial=call.completion,
            )
        return self.apply_rewrite(draft, rewrite, (call,))

    def apply_rewrite(
        self, draft: Draft, rewrite: str, calls: Sequence[SideCall] = (), edited: bool = False
    ) -> Draft:
        """Return the draft with this rewrite, whoever wrote it.

        Parameters
        ----------
        draft
            The question, and what other techniques did to it.
        rewrite
            The question in other words.
        calls
            Calls that the rewrite is from.
        edited
            Whether a person wrote or edited it.
        """
        facts: dict[str, Any] = {"style": self.style, "send": self.send, "rewrite": rewrite}
        if edited:
            facts["edited"] = True
        record = TechniqueRecord(self.name, facts, tuple(calls))
        both = f"{draft.question}\n{rewrite}"
        if self.send == "query":
            return draft.after(record, query=both)
        if self.send == "rewrite":
            return draft.after(record, sent=_replaced(draft, defuse(rewrite)), query=rewrite)
        sent = f"{draft.sent}\n\n{_FRAME}\n{quote(rewrite)}"
        return draft.after(record, sent=sent, query=both)

    def forecast(self, load: Load) -> Load:
        """Return the turn's tokens with a rewrite twice as long as the question."""
        written = load.question if self.style == ECHO else 2 * load.question
        sent = {
            "both": load.question + written + len(_FRAME) // _CHARS_PER_TOKEN,
            "rewrite": written,
            "query": load.question,
        }
        earlier = min(load.turns, _EARLIER) * load.question
        calls = tuple(
            (s, len(s.system_prompt) // _CHARS_PER_TOKEN + load.question + earlier, written)
            for s in self.sidecars
        )
        return replace(load, question=sent[self.send or "both"], calls=(*load.calls, *calls))

    def control(self, kind: str) -> Enrich:
        """Return ``echo``, the question twice, or ``paraphrase``, other words that add nothing.

        Raises
        ------
        UsageError
            For another kind.
        """
        if kind == ECHO:
            return Enrich(style=ECHO, send="query" if self.send == "query" else "both", label=ECHO)
        if kind == "paraphrase":
            return replace(self, style=kind, prompt=None, label=kind, rewrite=None)
        raise UsageError(
            f"enrich: there is no control {kind!r}.", fix=nearest(kind, (ECHO, "paraphrase"))
        )

    def _request(self, draft: Draft) -> str:
        """Return what the sidecar is asked."""
        parts = [f"Question:\n{draft.question}"]
        asked = [message.content for message in draft.history if message.role == "user"]
        if asked:
            # Notes of a memory stand before a question, so that its end is what counts.
            earlier = "\n".join(quote(text[-_LONGEST_EARLIER:]) for text in asked[-_EARLIER:])
            parts.insert(0, f"{_CONTEXT}\n{earlier}")
        if self.prompt is None:
            parts.append(_CUE.format(result=_RESULTS[self.style]))
        return "\n\n".join(parts)


def _replaced(draft: Draft, rewrite: str) -> str:
    """Return the rewrite in the question's place, below whatever else is sent with it."""
    if not draft.sent.endswith(draft.question):
        return f"{draft.sent}\n\n{rewrite}"
    return f"{draft.sent[: len(draft.sent) - len(draft.question)]}{rewrite}"


def _without_quotes(reply: str) -> str:
    text = reply.strip()
    quoted = len(text) > 1 and (text[0], text[-1]) in {('"', '"'), ("“", "”"), ("'", "'")}
    return text[1:-1].strip() if quoted and text[0] not in text[1:-1] else text
