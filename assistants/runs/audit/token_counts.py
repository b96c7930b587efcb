"""Evidence by token counts, where no prompt is shown: how much a persona adds to the input.

It is weaker than a prompt that is shown: another text of that length would count the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from assistants.assistant import Assistant
from assistants.errors import AssistantsError, BadRequestError, ReasoningLimitError
from assistants.messages import Message, Sampling, partial_completion
from assistants.runs.audit.verdicts import PromptAudit, Verdict
from assistants.runs.store import Store
from assistants.utils import from_utf8, truncate_line

WORDS_AT_LEAST = 0.8
"""Tokens a word of the languages that put spaces between words, at the least."""

BYTES_A_TOKEN = 16
"""Bytes that one token can stand for, at the most, in running text of any language."""

FRAME = 32
"""Tokens that a message takes besides its text, at the most."""

LONGER = 3
"""So many times as long as another text one has to be, so that the tokens of both tell."""

ALIKE = 3
"""Different texts, at the least, that have as many tokens each only if none of them is sent."""

CAPS = (1, 16, 1024)
"""``max_tokens`` of an answer that nobody reads; each where the API refuses the one before.

Some APIs want 16 at the least, and refuse a model that thinks longer before it answers.
"""

_NO_PROMPT = "no prompt"

_COUNTS = """
SELECT t.model, t.case_id, t.persona, p.system_prompt, MIN(a.input_tokens)
FROM trials t JOIN answers a ON a.key = t.key AND a.turn = 0
JOIN prompts p ON p.digest = t.prompt
WHERE t.run = ? AND a.input_tokens IS NOT NULL GROUP BY 1, 2, 3, 4 ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Count:
    """The input tokens of one persona's answer to one case; ``text`` is its system message."""

    persona: str
    text: str
    tokens: int


@dataclass(slots=True)
class TokenIncrease:
    """Input tokens above those of other prompts, and what the texts make likely, over cases.

    ``alike`` is how many different texts count the same, where that is all that is known.
    """

    cases: int = 0
    tokens: int = 0
    least: float = 0.0
    most: float = 0.0
    against: set[str] = field(default_factory=set)
    alike: int = 0

    def add(self, one: Count, other: Count) -> None:
        """Add one more case, of a text that is longer than the other."""
        self.cases += 1
        self.tokens += one.tokens - other.tokens
        # A word of one text may have twice as many tokens as a word of another.
        self.least += (_least(one.text) - _least(other.text)) / (2 if other.text else 1)
        self.most += len(one.text.encode()) + FRAME - _least(other.text)
        self.against.add(other.persona if other.text else _NO_PROMPT)


def token_increases(store: Store, run: str) -> dict[tuple[str, str], TokenIncrease]:
    """Return token increases by model and persona; nothing where counts tell nothing.

    What is compared on a case is each persona with an empty prompt, or, where none was sent, with
    the shortest text, by those that are ``LONGER``. Where none of them is, it tells something only
    if all count alike.
    """
    increases: dict[tuple[str, str], TokenIncrease] = {}
    rows = store.read(_COUNTS, [run])
    for model, answers in groupby(rows, key=lambda row: from_utf8(row[0])):
        cases = [
            [
                Count(from_utf8(persona), text or "", tokens)
                for _, _, persona, text, tokens in answers_to_case
            ]
            for _, answers_to_case in groupby(answers, key=lambda row: row[1])
        ]
        for one, other in (pair for counts in cases for pair in _pairs(counts)):
            increases.setdefault((model, one.persona), TokenIncrease()).add(one, other)
        for persona, texts in _alike(cases).items():
            increases.setdefault((model, persona), TokenIncrease(alike=texts))
    return increases


def with_token_increase(audit: PromptAudit, increase: TokenIncrease | None) -> PromptAudit:
    """Return the audit with the verdict of token counts, for want of a better one."""
    if increase is None:
        return audit
    if increase.alike:
        detail = f"{increase.alike} personas of different texts have as many input tokens each."
        return replace(
            audit, verdict="not counted", known_by="token counts", tokens=0, detail=detail
        )
    tokens = round(increase.tokens / increase.cases)
    fits = increase.least <= increase.tokens <= increase.most
    detail = (
        f"{tokens:+,} tokens a question against {' and '.join(sorted(increase.against))}, where "
        f"{increase.least / increase.cases:,.0f} to {increase.most / increase.cases:,.0f} were to "
        "be expected."
    )
    verdict: Verdict = "counted" if fits else "not counted"
    return replace(audit, verdict=verdict, known_by="token counts", tokens=tokens, detail=detail)


async def audit_by_token_counts(
    assistant: Assistant, conversation: Sequence[Message], audit: PromptAudit
) -> PromptAudit:
    """Ask with the persona and without, and compare the input tokens.

    A failure leaves the verdict of ``audit``. It takes two calls, or a
    few more where the API refuses the shortest answer.
    """
    text = assistant.system_prompt or ""
    if not text.strip():
        return replace(audit, detail="There is no text whose tokens could be counted.")
    try:
        with_it = await _input_tokens(assistant, conversation)
        without = await _input_tokens(without_persona(assistant), conversation)
    except AssistantsError as error:
        return replace(audit, detail=truncate_line(str(error), 300))
    if with_it is None or without is None:
        return replace(audit, detail="The API does not say how many tokens it read.")
    increase = TokenIncrease()
    increase.add(Count(assistant.name, text, with_it), Count("", "", without))
    return with_token_increase(replace(audit, digest=assistant.prompt_digest), increase)


def without_persona(assistant: Assistant) -> Assistant:
    """Return the assistant that sends nothing but the questions."""
    return replace(assistant, persona=replace(assistant.persona, text=None))


async def _input_tokens(assistant: Assistant, conversation: Sequence[Message]) -> int | None:
    messages = assistant.messages(conversation)
    *shorter, longest = [Sampling(max_tokens=cap) for cap in CAPS]
    for sampling in shorter:
        try:
            return (await assistant.client.complete(messages, sampling)).usage.input_tokens
        except ReasoningLimitError as error:  # the prompt was read, which is all that matters
            partial = partial_completion(error)
            return partial.usage.input_tokens if partial is not None else None
        except BadRequestError as error:
            if error.at_fault:  # of the model or the key: no cap would help
                raise
    return (await assistant.client.complete(messages, longest)).usage.input_tokens


def _pairs(counts: Sequence[Count]) -> Iterator[tuple[Count, Count]]:
    """Yield the pairs of texts that can be compared on one case."""
    least = min(counts, key=lambda count: len(count.text.encode()))
    for count in counts:
        if count.text and _tells(count.text, least.text):
            yield count, least


def _tells(text: str, other: str) -> bool:
    """Return whether a text is so much longer that it must have more tokens."""
    bytes_too = len(text.encode()) >= LONGER * len(other.encode())
    return not other or (bytes_too and _least(text) >= LONGER * _least(other))


def _alike(cases: Sequence[Sequence[Count]]) -> dict[str, int]:
    """Return the number of texts by persona, if each case counts the same with all of them."""
    texts = {count.persona: count.text for counts in cases for count in counts}
    whole = [counts for counts in cases if len(counts) == len(texts)]
    same = whole and all(len({count.tokens for count in counts}) == 1 for counts in whole)
    different = len(set(texts.values()))
    is_ignored = same and different >= ALIKE and all(texts.values())
    return dict.fromkeys(texts, different) if is_ignored else {}


def _least(text: str) -> float:
    """Return the least number of tokens of a text."""
    return max(WORDS_AT_LEAST * len(text.split()), len(text.encode()) / BYTES_A_TOKEN)
