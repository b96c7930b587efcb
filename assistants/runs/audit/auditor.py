"""Proof that a persona reaches the model: the prompt it reads, compared with marker words in it.

What a template makes of a marker in the persona's place shows where the persona goes and what
stands around it. The prompt with the persona then has to be that one with the persona instead of
the marker, character by character. Five or six requests a model, one more a persona, all of them
small ones to one's own server that generate nothing.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from assistants.assistant import Assistant
from assistants.clients import RenderedPrompt, RenderMethod, ignores_chat_template, render_prompt
from assistants.errors import (
    AssistantsError,
    AuthenticationError,
    BadRequestError,
    ContextLengthError,
    ModelNotFoundError,
    ServerError,
)
from assistants.messages import Message
from assistants.runs.audit.template_checks import (
    ANSWER,
    FIRST,
    SECOND,
    SYSTEM,
    common_start,
    control_tokens,
    own_words,
    quoted,
    template_behaviour,
)
from assistants.runs.audit.verdicts import PromptAudit, Verdict
from assistants.utils import truncate_line

_SILENT = "The server does not show what the model reads."
_OTHERWISE = (
    "Its server writes conversations in the harmony format of gpt-oss itself, and shows the "
    "template, which nobody reads."
)

_REST = 8
"""Characters of its own, dots for example, that a template may put where it cut a text."""


@dataclass(frozen=True, slots=True)
class AuditResult:
    """A prompt audit, the prompt that proves it, and where the persona begins and ends in it."""

    delivery: PromptAudit
    rendered: RenderedPrompt | None = None
    span: tuple[int, int] | None = None


@dataclass
class Auditor:
    """The auditor of one client's assistants; what shows the template is rendered once.

    Parameters
    ----------
    conversation
        What the personas are asked, without a system message.
    how, silent
        What is known of the server: how it shows what its model reads, or why it does not.
    """

    conversation: Sequence[Message]
    how: RenderMethod | None = None
    silent: str = ""
    _rendered: dict[tuple[Message, ...], RenderedPrompt | AssistantsError] = field(
        default_factory=dict
    )

    def asking(self, conversation: Sequence[Message]) -> Auditor:
        """Return an auditor for other questions, which shares what is known and rendered."""
        return replace(self, conversation=conversation)

    async def audit(self, assistant: Assistant) -> AuditResult:
        """Find out what becomes of the assistant's persona; ``unknown`` after a failure."""
        try:
            persona = assistant.system_prompt
            if persona is None or not persona.strip():
                return await self._empty(assistant)
            return await self._audit(assistant, persona)
        except AssistantsError as error:
            return self._result(assistant, "unknown", truncate_line(str(error), 300))

    async def _audit(self, assistant: Assistant, persona: str) -> AuditResult:
        marked, bare = _with(assistant, SYSTEM), _with(assistant, None)
        several = len(self.conversation) > 1
        plain = await self._render(bare, _questions(several))
        probe = await self._render(marked, _questions(several))
        if isinstance(plain, AssistantsError) and isinstance(probe, AssistantsError):
            return self._result(assistant, "unknown", truncate_line(str(probe), 300))
        real = await self._render(assistant, self.conversation)
        if isinstance(real, ContextLengthError):
            return self._result(assistant, "too long", truncate_line(real.message, 300))
        if isinstance(real, AssistantsError):
            by_chance = isinstance(real, ServerError) and isinstance(probe, RenderedPrompt)
            verdict: Verdict = "unknown" if by_chance else "refused"
            return self._result(assistant, verdict, f"({truncate_line(real.message, 300)})")
        marker = await self._render(marked, self.conversation)
        if isinstance(probe, AssistantsError) or isinstance(marker, AssistantsError):
            return self._result(assistant, "unknown", "The template refuses other texts.")
        turns = await self._render(bare, _questions(True))
        without = await self._render(bare, self.conversation)
        shape = template_behaviour(
            probe.text, _text(plain), _text(turns), folded=assistant.persona_in == "user"
        )
        added = real.tokens - without.tokens if isinstance(without, RenderedPrompt) else None
        if shape.verdict in ("dropped", "altered"):
            return self._result(assistant, shape.verdict, shape.detail, real, added)
        comparison = _compare_persona(persona, real, marker)
        if comparison.verdict is None and shape.verdict is not None:
            comparison = replace(comparison, verdict=shape.verdict, detail=shape.detail)
        if comparison.verdict is None and real.max_model_len and real.tokens >= real.max_model_len:
            detail = f"{real.tokens} tokens, where {real.max_model_len} fit with the answer."
            comparison = replace(comparison, verdict="too long", detail=detail)
        verdict = comparison.verdict or "delivered"
        return self._result(assistant, verdict, comparison.detail, real, added, comparison.span)

    async def _empty(self, assistant: Assistant) -> AuditResult:
        """Audit an assistant without a persona: the template may put in words of its own."""
        shown = await self._render(assistant, _questions(len(self.conversation) > 1))
        if isinstance(shown, AssistantsError):
            return self._result(assistant, "unknown", f"({truncate_line(shown.message, 300)})")
        real = await self._render(assistant, self.conversation)
        words = own_words(shown.text)
        verdict: Verdict = "default inserted" if words else "empty"
        return self._result(
            assistant,
            verdict,
            quoted(words) if words else "",
            real if isinstance(real, RenderedPrompt) else shown,
        )

    async def _render(
        self, assistant: Assistant, conversation: Sequence[Message]
    ) -> RenderedPrompt | AssistantsError:
        """Return a rendering or its refusal, asked for once; raise if the server gives none."""
        messages = assistant.messages(conversation)
        if self.silent:
            raise PromptNotVisibleError(self.silent)
        if messages not in self._rendered:
            self._rendered[messages] = await self._ask(assistant, messages)
        return self._rendered[messages]

    async def _ask(
        self, assistant: Assistant, messages: Sequence[Message]
    ) -> RenderedPrompt | AssistantsError:
        try:
            rendered = await render_prompt(assistant.client, messages, self.how)
        except (AuthenticationError, ModelNotFoundError):
            raise
        except (BadRequestError, ServerError) as error:
            return error
        if rendered is None:
            self.silent = _SILENT
        elif self.how is None and rendered.method == "tokens":
            self.silent = _OTHERWISE if await ignores_chat_template(assistant.client) else ""
        if rendered is None or self.silent:
            raise PromptNotVisibleError(self.silent)
        self.how = rendered.method
        return rendered

    def _result(
        self,
        assistant: Assistant,
        verdict: Verdict,
        detail: str = "",
        real: RenderedPrompt | None = None,
        added: int | None = None,
        span: tuple[int, int] | None = None,
    ) -> AuditResult:
        delivery = PromptAudit(
            persona=assistant.name,
            model=assistant.model,
            verdict=verdict,
            known_by="unknown" if verdict == "unknown" else (self.how or "unknown"),
            persona_in=assistant.persona_in,
            tokens=added,
            detail=detail,
            digest=assistant.prompt_digest,
        )
        return AuditResult(delivery, real, span)


class PromptNotVisibleError(AssistantsError):
    """The server has no way of showing what the model reads."""


@dataclass(frozen=True, slots=True)
class _PersonaComparison:
    verdict: Verdict | None
    detail: str = ""
    span: tuple[int, int] | None = None


def _compare_persona(
    persona: str, real: RenderedPrompt, marker: RenderedPrompt
) -> _PersonaComparison:
    """Compare what stands in the marker's place with the persona as it was written."""
    if SYSTEM not in marker.text:
        if persona.strip() in real.text:
            return _PersonaComparison(
                "altered", "The template leaves out shorter texts in its place."
            )
        return _PersonaComparison(
            "dropped", "The template leaves it out of a conversation like this one."
        )
    if marker.text.count(SYSTEM) != 1:
        whole = real.text.count(persona) == marker.text.count(SYSTEM)
        return _PersonaComparison(None if whole else "altered")
    before, _, after = marker.text.partition(SYSTEM)
    fits = real.text.startswith(before) and real.text.endswith(after)
    if not fits or len(real.text) < len(before) + len(after):
        there = persona.strip() in real.text
        detail = "The template treats this text in another way than a short one."
        return _PersonaComparison("misplaced" if there else "dropped", detail)
    body = real.text[len(before) : len(real.text) - len(after)]
    span = (len(before), len(before) + len(body))
    extra = Counter(control_tokens(real.token_strings, marker.text))
    extra -= Counter(control_tokens(marker.token_strings, marker.text))
    if extra:
        return _PersonaComparison("broken out", f"It holds {', '.join(map(repr, extra))}.", span)
    if body == persona:
        return _PersonaComparison(None, "", span)
    if body == persona.strip() or body in (persona.lstrip(), persona.rstrip()):
        return _PersonaComparison(None, "Spaces and line ends around it were cut off.", span)
    return replace(_describe_change(persona, body), span=span)


def _describe_change(persona: str, body: str) -> _PersonaComparison:
    """Describe what happened to a persona that is not in the prompt as it was written."""
    core = persona.strip()
    if not body.strip():
        return _PersonaComparison("dropped")
    if core in body:
        own = body.replace(core, " ", 1).strip()
        return _PersonaComparison(
            "followed" if body.strip().startswith(core) else "prepended", quoted(own)
        )
    if any(unicodedata.normalize(form, core) == body.strip() for form in ("NFC", "NFD")):
        return _PersonaComparison(None, "Its characters were brought into a Unicode normal form.")
    if any(unicodedata.normalize(form, core) == body.strip() for form in ("NFKC", "NFKD")):
        return _PersonaComparison(
            "altered", "Characters were replaced by others like them (NFKC, NFKD)."
        )
    start = common_start(core, body.lstrip())
    end = common_start(core[::-1], body.rstrip()[::-1])
    kept = min(start + end, len(body.strip()))
    if len(body.strip()) - kept <= _REST and kept > _REST and len(core) > kept:
        return _PersonaComparison(
            "truncated", f"{len(core) - kept} of {len(core)} characters are missing."
        )
    place = start if start < len(core) else 0
    there, here = core[place : place + 40], body.strip()[place : place + 40]
    return _PersonaComparison("altered", f"Where it says {there!r}, the model reads {here!r}.")


def _with(assistant: Assistant, text: str | None) -> Assistant:
    return replace(assistant, persona=replace(assistant.persona, text=text))


def _questions(several: bool) -> list[Message]:
    first = [Message("user", FIRST)]
    return [*first, Message("assistant", ANSWER), Message("user", SECOND)] if several else first


def _text(rendered: RenderedPrompt | AssistantsError) -> str | None:
    return rendered.text if isinstance(rendered, RenderedPrompt) else None
