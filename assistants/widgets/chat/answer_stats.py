"""Facts about an answer besides its text, in words: tokens, cost, speed, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from assistants.messages import Completion, Usage
from assistants.utils import pluralize
from assistants.widgets.chat.turns import Answer, Turn

_ENDINGS = {
    "length": "cut at the token limit",
    "refusal": "refused",
    "content_filter": "stopped by a content filter",
    "empty": "empty answer",
    "truncated": "broke off",
}

_MIN_STREAM_SHARE = 0.01
"""Share of a call's time: text that arrived in less was buffered by a server."""


def answer_facts(answer: Answer, cost: float | None) -> list[str]:
    """Return how it ended if not well, tokens, dollars, seconds to the first token, tokens/s."""
    completion = answer.completion
    if completion is None:
        return []
    facts = [_ENDINGS[completion.status]] if completion.status in _ENDINGS else []
    usage = completion.usage
    if usage.output_tokens is not None:
        facts.append(pluralize(usage.output_tokens, "token"))
    facts.append("cost unknown" if cost is None else dollars(cost))
    if completion.first_token_s is not None:
        facts.append(f"first token {completion.first_token_s:.2f} s")
    if (speed := tokens_per_second(answer)) is not None:
        facts.append(f"{speed:,.0f} tokens/s")
    return facts


def total_facts(answers: Sequence[Answer], cost: Callable[[Answer], float | None]) -> list[str]:
    """Return the totals of several answers, in the order of ``answer_facts``.

    Seconds to the first token are a median. A sum with an unknown part is unknown. Answers that
    are on their way do not count, and those that failed without text count as failed only.
    """
    ended = [answer for answer in answers if not answer.is_pending]
    given = [answer for answer in ended if answer.text or answer.completion is not None]
    failed = sum(answer.state == "failed" for answer in ended)
    facts = [pluralize(len(given), "answer")] if given else []
    facts += [f"{failed:,} failed"] if failed else []
    usages = [answer.completion.usage if answer.completion else Usage() for answer in given]
    tokens = [usage.output_tokens for usage in usages]
    if given and None not in tokens:
        facts.append(pluralize(sum(filter(None, tokens)), "token"))
    costs = [cost(answer) for answer in given]
    if given:
        facts.append("cost unknown" if None in costs else dollars(sum(filter(None, costs))))
    completions = [answer.completion for answer in given if answer.completion is not None]
    waits = [c.first_token_s for c in completions if c.first_token_s is not None]
    if waits:
        facts.append(f"first token {median(waits):.2f} s")
    if (speed := _speed(completions)) is not None:
        facts.append(f"{speed:,.0f} tokens/s")
    return facts


def dollars(cost: float) -> str:
    """Format US dollars: ``$0``, ``$0.0012``, ``$1.20``; ``<$0.0001`` for less than that."""
    if cost == 0:
        return "$0"
    if cost < 0.0001:
        return "<$0.0001"
    return f"${cost:.4f}" if cost < 1 else f"${cost:,.2f}"


def tokens_per_second(answer: Answer) -> float | None:
    """Return output tokens per second after the first one; ``None`` if unknown.

    Reasoning that is not shown comes before the first token, and does not count. The speed is
    unknown where a server sends an answer only when it is complete.
    """
    return None if answer.completion is None else _speed([answer.completion])


def _speed(completions: Sequence[Completion]) -> float | None:
    """Return tokens per second over the completions whose tokens and times are known."""
    known = [after for c in completions if (after := _after_first_token(c)) is not None]
    tokens, seconds = (sum(values) for values in zip(*known, strict=True)) if known else (0, 0.0)
    return tokens / seconds if seconds > 0 else None


def _after_first_token(completion: Completion) -> tuple[int, float] | None:
    """Return the tokens after the first one, and the seconds that they took."""
    usage, first, total = completion.usage, completion.first_token_s, completion.total_s
    if usage.output_tokens is None or first is None or total is None:
        return None
    hidden = 0 if completion.reasoning else usage.reasoning_tokens or 0
    tokens, seconds = usage.output_tokens - hidden - 1, total - first
    return (tokens, seconds) if tokens > 0 and seconds > _MIN_STREAM_SHARE * total else None


def reply_row(number: int, turn: Turn, repeat: int, cost: float | None) -> dict[str, Any]:
    """Return one answer of a turn as a row of ``replies``, with columns as the trials table."""
    answer = turn.answers[repeat]
    completion = answer.completion
    return {
        "persona": answer.assistant.name,
        "model": answer.assistant.model,
        "turn": number,
        "question": turn.question,
        "repeat": repeat,
        "chosen": repeat == turn.chosen,
        "state": answer.state,
        "answer": answer.text,
        "status": completion.status if completion else None,
        "error": answer.error or None,
        "input_tokens": completion.usage.input_tokens if completion else None,
        "output_tokens": completion.usage.output_tokens if completion else None,
        "cost_usd": cost,
        "first_token_s": completion.first_token_s if completion else None,
        "total_s": completion.total_s if completion else None,
    }
