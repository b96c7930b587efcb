"""What there is to know about an answer besides its text: in words, and nothing made up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from assistants.messages import Completion, Usage
from assistants.utils.text import pluralize
from assistants.widgets.chat.turns import Answer, Turn

_ENDED = {
    "length": "cut at the token limit",
    "refusal": "refused",
    "content_filter": "stopped by a content filter",
    "empty": "empty answer",
    "truncated": "broke off",
}

_SHARE = 0.01
"""Of a call's time: what came in less was not written then but handed over, by whoever held it."""


def facts(answer: Answer, cost: float | None) -> list[str]:
    """How it ended if not well, tokens, dollars, seconds to the first token, tokens a second."""
    completion = answer.completion
    if completion is None:
        return []
    said = [_ENDED[completion.status]] if completion.status in _ENDED else []
    usage = completion.usage
    if usage.output_tokens is not None:
        said.append(pluralize(usage.output_tokens, "token"))
    said.append("cost unknown" if cost is None else dollars(cost))
    if completion.first_token_s is not None:
        said.append(f"first token {completion.first_token_s:.2f} s")
    if (speed := tokens_per_second(answer)) is not None:
        said.append(f"{speed:,.0f} tokens/s")
    return said


def sums(answers: Sequence[Answer], cost: Callable[[Answer], float | None]) -> list[str]:
    """What several answers come to, in the order of ``facts``; of the first token, the median.

    A sum of which a part is unknown is unknown. Answers that are on their way do not count, nor
    do those that failed before a word was said, other than as failed.
    """
    ended = [answer for answer in answers if not answer.is_pending]
    given = [answer for answer in ended if answer.text or answer.completion is not None]
    failed = sum(answer.state == "failed" for answer in ended)
    said = [pluralize(len(given), "answer")] if given else []
    said += [f"{failed:,} failed"] if failed else []
    usages = [answer.completion.usage if answer.completion else Usage() for answer in given]
    tokens = [usage.output_tokens for usage in usages]
    if given and None not in tokens:
        said.append(pluralize(sum(filter(None, tokens)), "token"))
    costs = [cost(answer) for answer in given]
    if given:
        said.append("cost unknown" if None in costs else dollars(sum(filter(None, costs))))
    completions = [answer.completion for answer in given if answer.completion is not None]
    waits = [c.first_token_s for c in completions if c.first_token_s is not None]
    if waits:
        said.append(f"first token {median(waits):.2f} s")
    if (speed := _speed(completions)) is not None:
        said.append(f"{speed:,.0f} tokens/s")
    return said


def dollars(cost: float) -> str:
    """``$0``, ``$0.0012``, ``$1.20``; ``<$0.0001`` for what is not nothing."""
    if cost == 0:
        return "$0"
    if cost < 0.0001:
        return "<$0.0001"
    return f"${cost:.4f}" if cost < 1 else f"${cost:,.2f}"


def tokens_per_second(answer: Answer) -> float | None:
    """Output tokens a second after the first one; ``None`` if unknown.

    Tokens that a model thought unseen came before its first one, and do not count. Where a server
    holds an answer back until it is whole, nobody knows how fast it was written.
    """
    return None if answer.completion is None else _speed([answer.completion])


def _speed(completions: Sequence[Completion]) -> float | None:
    """Of those whose tokens and times are known."""
    known = [after for each in completions if (after := _after_the_first(each)) is not None]
    tokens, seconds = (sum(values) for values in zip(*known, strict=True)) if known else (0, 0.0)
    return tokens / seconds if seconds > 0 else None


def _after_the_first(completion: Completion) -> tuple[int, float] | None:
    """How many tokens came after the first one, and in how many seconds."""
    usage, first, total = completion.usage, completion.first_token_s, completion.total_s
    if usage.output_tokens is None or first is None or total is None:
        return None
    unseen = 0 if completion.reasoning else usage.reasoning_tokens or 0
    tokens, seconds = usage.output_tokens - unseen - 1, total - first
    return (tokens, seconds) if tokens > 0 and seconds > _SHARE * total else None


def row(number: int, turn: Turn, repeat: int, cost: float | None) -> dict[str, Any]:
    """One answer of a turn as a row of ``replies``: what the trials table would say of it."""
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
