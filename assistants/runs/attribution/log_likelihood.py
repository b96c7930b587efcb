"""Attribution by log-likelihood: how likely stored answers are without each sentence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

from assistants.assistant import inline_system_prompt
from assistants.clients import (
    Client,
    Tokens,
    answer_logprobs,
    answer_tokens,
    prompt_tokens,
    prompt_tokens_without_reasoning,
    start_concurrency,
)
from assistants.errors import UnknownNameError, UsageError
from assistants.messages import Completion, Message
from assistants.runs import tables
from assistants.runs.store import Store
from assistants.utils import Sentences, from_utf8, pluralize, split_sentences

Prompt = tuple[Message, ...]
PersonaIn = Literal["system", "user"]


class ScoredTurn(NamedTuple):
    """A prompt, its answer, whether that ended by itself, and whether it followed reasoning."""

    asked: Prompt
    answer: str
    ended: bool
    reasoned: bool


@dataclass(frozen=True, slots=True)
class AnsweredTrial:
    """A trial with its answers: ``completions`` to the first of ``questions``, one each."""

    model: str
    case: str
    repeat: int
    system: str
    questions: tuple[str, ...]
    completions: tuple[Completion, ...]
    sampling: Mapping[str, Any]
    reference: str | None = None
    persona_in: PersonaIn = "system"

    def turns(self, system: str) -> Iterator[ScoredTurn]:
        """Yield each turn's prompt (with ``system`` as persona) and answer.

        A stop text of the sampling is no end of the model's own.
        """
        history: list[Message] = []
        for question, completion in zip(self.questions, self.completions, strict=False):
            history.append(Message("user", question))
            ended = completion.status == "ok" and not self.sampling.get("stop")
            asked = (Message("system", system), *history)
            if self.persona_in == "user":
                asked = inline_system_prompt(system, history)
            yield ScoredTurn(asked, completion.text, ended, bool(completion.reasoning))
            history.append(Message("assistant", completion.text))


def answered_trials(
    store: Store,
    run: str,
    persona: str,
    *,
    case: str | None,
    model: str | None,
    statuses: Collection[str],
) -> list[AnsweredTrial]:
    """Return the answers of a persona that count.

    Raises
    ------
    UnknownNameError
        For a persona, case or model that the run does not have.
    UsageError
        If no answer counts, or the persona sends no system message.
    """
    frame = tables.trials(store, run)
    for kind, name in {"persona": persona, "case": case, "model": model}.items():
        if name is not None:
            if name not in set(frame[kind]):
                raise UnknownNameError(kind, name, frame[kind].unique(), where=f"run {run}")
            frame = frame[frame[kind] == name]
    frame = frame[frame["status"].isin(statuses) & frame["answer"].str.strip().ne("")]
    if not len(frame):
        raise UsageError(
            f"{persona} has no answer in run {run} that counts, so nothing can be attributed.",
            fix="Look at `run.statuses()`, and run the experiment again to fill in what failed.",
        )
    if frame["system_prompt"].isna().any():
        raise UsageError(f"{persona} sends no system message: there is no sentence to leave out.")
    query = "SELECT case_id, turns, reference FROM cases WHERE run = ?"
    cases = {name: (tuple(json.loads(t)), ref) for name, t, ref in store.read(query, [run])}
    return [
        AnsweredTrial(
            model=row.model,
            case=row.case,
            repeat=row.repeat,
            system=from_utf8(row.system_prompt),
            questions=cases[row.case][0],
            completions=tuple(store.completions(row.key)),
            sampling=json.loads(row.applied_sampling),
            reference=cases[row.case][1],
            persona_in="user" if row.persona_in == "user" else "system",
        )
        for row in frame.itertuples(index=False)
    ]


def sentences_of(persona: str, found: Sequence[AnsweredTrial]) -> dict[str, Sentences]:
    """Split each system message that was sent into sentences.

    Raises
    ------
    UsageError
        If there is none, or a persona whose text depends on the case has more of them in one case
        than in another.
    """
    texts = {
        system: split_sentences(system) for system in dict.fromkeys(each.system for each in found)
    }
    counts = {len(sentences) for sentences in texts.values()}
    if len(counts) > 1:
        raise UsageError(
            f"{persona} has {' or '.join(map(str, sorted(counts)))} sentences, depending on the "
            "case, so they cannot be added up over cases.",
            fix="Name one: `case=`.",
        )
    if counts == {0}:
        raise UsageError(f"The text of {persona} holds no sentence to leave out.")
    return texts


async def log_likelihood_rows(
    client: Client, found: Sequence[AnsweredTrial], texts: Mapping[str, Sentences]
) -> list[dict[str, Any]]:
    """Return one row per trial and sentence; nothing is generated.

    The columns are ``analysis.ATTRIBUTION_TRIALS``.

    Parameters
    ----------
    client
        Of the model that all of ``found`` are from. As many requests are in flight as it takes.

    Raises
    ------
    LogprobsUnavailableError
        If its server gives no log-probabilities, or does not show where an answer stands.
    CallError
        If there is no whole reply.
    """
    said = dict.fromkeys(turn for each in found for turn in each.turns(each.system))

    async def told(turn: ScoredTurn) -> Tokens:
        asked, answer, ended, reasoned = turn
        return await answer_tokens(client, asked, answer, is_finished=ended, has_reasoning=reasoned)

    tokens = await _map_concurrently(client, told, said)

    def asked(each: AnsweredTrial, system: str) -> list[tuple[ScoredTurn, Tokens]]:
        """Pair each turn under ``system`` with the tokens of the answer that was given."""
        whole = [tokens[turn] for turn in each.turns(each.system)]
        return list(zip(each.turns(system), whole, strict=True))

    variants = {
        whole: ["", *(sentences.without(at) for at in range(len(sentences)))]
        for whole, sentences in texts.items()
    }
    wanted = dict.fromkeys(
        turn
        for each in found
        for system in [each.system, *variants[each.system]]
        for turn in asked(each, system)
    )

    async def summed(pair: tuple[ScoredTurn, Tokens]) -> float:
        turn, answer = pair
        if turn.reasoned:
            prompt = await prompt_tokens_without_reasoning(client, turn.asked, turn.answer, answer)
        else:
            prompt = await prompt_tokens(client, turn.asked)
        return sum(await answer_logprobs(client, prompt, answer))

    known = await _map_concurrently(client, summed, wanted)
    rows = []
    for each in found:

        def total(system: str, each: AnsweredTrial = each) -> float:
            return sum(known[turn] for turn in asked(each, system))

        count = sum(len(ids) for _, ids in asked(each, each.system))
        whole, empty, *without = map(total, [each.system, *variants[each.system]])
        for at, less in enumerate(without):
            rows.append(
                {
                    "model": each.model, "case": each.case, "repeat": each.repeat,
                    "sentence": at + 1, "text": texts[each.system].texts[at],
                    "effect": whole - less, "per_token": (whole - less) / count,
                    "share": (whole - less) / (whole - empty) if whole > empty else float("nan"),
                    "tokens": count, "logprob": whole, "logprob_without": less,
                    "logprob_empty": empty,
                }
            )  # fmt: skip
    return rows


def reasoning_note(found: Iterable[AnsweredTrial]) -> str:
    """Return the note on answers whose reasoning is left out; empty if there is none."""
    count = sum(any(c.reasoning for c in each.completions) for each in found)
    if not count:
        return ""
    return (
        f"{pluralize(count, 'answer')} followed reasoning, which is left out of what is measured."
    )


Item = TypeVar("Item")
Value = TypeVar("Value")


async def _map_concurrently(
    client: Client, ask: Callable[[Item], Awaitable[Value]], items: Iterable[Item]
) -> dict[Item, Value]:
    """Call ``ask`` for each item, as many at once as the client takes; the first one alone.

    So a server without log-probabilities is asked once.
    """
    room = asyncio.Semaphore(start_concurrency(client))
    found: dict[Item, Value] = {}

    async def one(item: Item) -> None:
        async with room:
            found[item] = await ask(item)

    first, *others = items
    await one(first)
    try:
        async with asyncio.TaskGroup() as group:
            for item in others:
                group.create_task(one(item))
    except ExceptionGroup as failed:
        error = failed.exceptions[0]
    else:
        return found
    raise error
