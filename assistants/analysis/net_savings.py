"""Net savings of a memory: what was not sent, less what the notes on it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from assistants.messages import Completion, Message, SideCall, TechniqueRecord, Transcript, Usage
from assistants.models import Model, call_cost
from assistants.utils import pluralize

CHARS_PER_TOKEN = 4
"""An estimate, for where no server has counted."""


@dataclass(frozen=True, slots=True)
class MemoryTurn:
    """Tokens of one question: as it was sent, and as it would have been with the whole history.

    Attributes
    ----------
    full
        Input tokens with the whole history.
    sent
        Input tokens that were sent.
    full_cached, sent_cached
        Of these, what the question before began with in the same way: a server with a prefix cache
        does not read it again.
    side_calls
        Models that wrote notes for this question, and the usage of each call.
    side_seconds
        How long these calls took; ``None`` if that is not known.
    first_token_s
        Seconds until the answer began.
    """

    full: int
    sent: int
    full_cached: int = 0
    sent_cached: int = 0
    side_calls: tuple[tuple[str, Usage], ...] = ()
    side_seconds: float | None = 0.0
    first_token_s: float | None = None

    @property
    def side_tokens(self) -> int | None:
        """Tokens that the notes cost, read and written; ``None`` if a server counted none."""
        counts = [(usage.input_tokens, usage.output_tokens) for _, usage in self.side_calls]
        known = [a + b for a, b in counts if a is not None and b is not None]
        return sum(known) if len(known) == len(counts) else None


@dataclass(frozen=True, slots=True)
class MemorySavings:
    """The savings of a memory in a conversation. Unknown amounts are ``None``, and losses negative.

    Attributes
    ----------
    input_tokens
        Input tokens that were not sent.
    side_tokens
        Tokens that its own calls took.
    net_tokens
        The first less the second.
    usd
        US dollars, net, where the server's cache works as well as it can.
    seconds
        Seconds until answers begin, net; an estimate from how fast the model read in this
        conversation.
    cache_loss
        How many more tokens than with the whole history a server has to read anew, since a changed
        beginning is not in its prefix cache; negative if fewer.
    break_even_turn
        The first question, from 1, from which on the tokens saved stay above those that the notes
        took; ``None`` if there is none.
    net_by_turn
        Net tokens up to each question.
    """

    input_tokens: int
    side_tokens: int | None
    net_tokens: int | None
    usd: float | None
    seconds: float | None
    cache_loss: int
    break_even_turn: int | None
    net_by_turn: tuple[int, ...] | None

    def __str__(self) -> str:
        if self.net_tokens is None:
            return f"{self.input_tokens:,} input tokens saved; its own calls were not counted."
        turn = self.break_even_turn
        when = f"from question {turn} on" if turn else "and it did not pay"
        return (
            f"{pluralize(self.net_tokens, 'token')} saved net ({self.input_tokens:,} input tokens, "
            f"{self.side_tokens:,} for notes), {when}; {self.cache_loss:,} more read anew."
        )


def memory_savings(
    turns: Sequence[MemoryTurn],
    model: Model | None = None,
    side_model: Callable[[str], Model] | None = None,
) -> MemorySavings:
    """Return what a memory saved in one conversation, net of its own calls.

    Parameters
    ----------
    turns
        One per question, in order; ``memory_turns`` reads them from transcripts.
    model
        The model that was asked, for its prices.
    side_model
        Returns the model of a name, for the prices of the memory's own calls.
    """
    sides = [turn.side_tokens for turn in turns]
    known = [side for side in sides if side is not None]
    is_known = len(known) == len(sides)
    net = [turn.full - turn.sent - side for turn, side in zip(turns, known, strict=False)]
    net_by_turn = tuple(accumulate(net)) if is_known else None
    return MemorySavings(
        input_tokens=sum(turn.full - turn.sent for turn in turns),
        side_tokens=sum(known) if is_known else None,
        net_tokens=sum(net) if is_known else None,
        usd=_usd(turns, model, side_model),
        seconds=_seconds(turns),
        cache_loss=sum(map(_read_more, turns)),
        break_even_turn=_break_even(net_by_turn),
        net_by_turn=net_by_turn,
    )


def memory_turns(transcripts: Sequence[Transcript]) -> list[MemoryTurn]:
    """Return the tokens of one conversation's questions, from its transcripts in order.

    Input tokens are the server's count where there is one. What was not sent has as many characters
    a token as the answers so far, which it mostly is. A call that an earlier question has made, and
    whose answer was looked up, is counted once.
    """
    turns: list[MemoryTurn] = []
    paid: Counter[SideCall] = Counter()
    before: tuple[Message, ...] = ()
    full_before = 0
    answers: list[Completion] = []
    for transcript in transcripts:
        answers_per_token = _chars_per_token(answers)
        record = next((r for r in transcript.techniques if r.technique == "memory"), None)
        made = Counter(record.calls if record else ())
        calls = list((made - paid).elements())
        paid |= made
        sent = _characters(transcript.messages)
        full = sent + _shortened_by(record)
        counted = transcript.completion.usage.input_tokens
        per_token = sent / counted if counted else CHARS_PER_TOKEN
        sent_tokens = counted or round(sent / per_token)
        full_tokens = sent_tokens + round((full - sent) / (answers_per_token or per_token))
        turns.append(
            MemoryTurn(
                full=full_tokens,
                sent=sent_tokens,
                full_cached=round(full_tokens * min(full, full_before) / full) if full else 0,
                sent_cached=round(_common_prefix(before, transcript.messages) / per_token),
                side_calls=tuple((call.model, call.completion.usage) for call in calls),
                side_seconds=_sum([call.completion.total_s for call in calls]),
                first_token_s=transcript.completion.first_token_s,
            )
        )
        before = (*transcript.messages, Message("assistant", transcript.completion.text))
        full_before = full + len(transcript.completion.text)
        answers.append(transcript.completion)
    return turns


def _chars_per_token(answers: Sequence[Completion]) -> float | None:
    """Return the characters of a token in these answers; ``None`` if no server counted."""
    tokens = _sum([_visible_tokens(answer.usage) for answer in answers])
    return sum(len(answer.text) for answer in answers) / tokens if tokens else None


def _visible_tokens(usage: Usage) -> int | None:
    if usage.output_tokens is None:
        return None
    return usage.output_tokens - (usage.reasoning_tokens or 0)


def _shortened_by(record: TechniqueRecord | None) -> int:
    """Return how many characters fewer were sent; none where the memory failed."""
    if record is None or record.failure is not None:
        return 0
    return int(record.facts["characters_before"]) - int(record.facts["characters_after"])


def _common_prefix(before: Sequence[Message], now: Sequence[Message]) -> int:
    """Return the number of characters that both begin with."""
    length = 0
    for old, new in zip(before, now, strict=False):
        if old == new:
            length += len(new.content)
            continue
        if old.role == new.role:
            pairs = enumerate(zip(old.content, new.content, strict=False))
            shorter = min(len(old.content), len(new.content))
            length += next((i for i, (a, b) in pairs if a != b), shorter)
        break
    return length


def _read_more(turn: MemoryTurn) -> int:
    return (turn.sent - turn.sent_cached) - (turn.full - turn.full_cached)


def _usd(
    turns: Sequence[MemoryTurn],
    model: Model | None,
    side_model: Callable[[str], Model] | None,
) -> float | None:
    if model is None:
        return None
    costs: list[float | None] = []
    for turn in turns:
        costs.append(call_cost(model, Usage(turn.full, 0, turn.full_cached)))
        sent = call_cost(model, Usage(turn.sent, 0, turn.sent_cached))
        costs.append(None if sent is None else -sent)
        for name, usage in turn.side_calls:
            side = None if side_model is None else call_cost(side_model(name), usage)
            costs.append(None if side is None else -side)
    return _sum(costs)


def _seconds(turns: Sequence[MemoryTurn]) -> float | None:
    waited = _sum([turn.first_token_s for turn in turns])
    read = sum(turn.sent - turn.sent_cached for turn in turns)
    own = _sum([turn.side_seconds for turn in turns])
    if waited is None or own is None or read <= 0:
        return None
    return -sum(map(_read_more, turns)) * waited / read - own


def _break_even(net_by_turn: Sequence[int] | None) -> int | None:
    """Return the first question of the last stretch in which the sum is above 0."""
    if not net_by_turn or net_by_turn[-1] <= 0:
        return None
    losing = [number for number, net in enumerate(net_by_turn, 1) if net <= 0]
    return losing[-1] + 1 if losing else 1


def _sum(values: Sequence[float | None]) -> float | None:
    """Return the sum, unless a part of it is unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _characters(messages: Sequence[Message]) -> int:
    return sum(len(message.content) for message in messages)
