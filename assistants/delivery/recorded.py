"""What a run says about the delivery of its personas, and what the store adds to that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from assistants.assistant import Assistant
from assistants.delivery.asked import not_audited
from assistants.delivery.verdicts import MEANS, OPEN, Delivery, Verdict, worst
from assistants.errors import UsageError
from assistants.personas import digest_of
from assistants.store import Store
from assistants.text import from_utf8
from assistants.trial import Case, Trial

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("persona", "model", "verdict", "ok", "known_by", "persona_in", "tokens", "note")
"""Of the table of deliveries."""

WORDS_AT_LEAST = 0.8
"""Tokens a word of the languages that put spaces between words, at the least."""

BYTES_A_TOKEN = 16
"""Bytes that one token can stand for, at the most, in running text of any language."""

NOT_LOOKED = "Its answers were there already, and no run looked when they were made."

_EARLIER = "Of answers made earlier: "

FRAME = 32
"""Tokens that a message takes besides its text, at the most."""

_OPEN = """
SELECT DISTINCT t.persona, t.model FROM trials t
LEFT JOIN answers a ON a.key = t.key AND a.final WHERE t.run = ? AND a.key IS NULL
"""
_MADE_IN = """
SELECT DISTINCT t.persona, t.model, a.run FROM trials t
JOIN answers a ON a.key = t.key WHERE t.run = ?
"""
_COUNTS = """
SELECT t.model, t.persona, t.case_id, p.system_prompt, MIN(a.input_tokens)
FROM trials t JOIN answers a ON a.key = t.key AND a.turn = 0
JOIN prompts p ON p.digest = t.prompt
WHERE t.run = ? AND a.input_tokens IS NOT NULL GROUP BY 1, 2, 3, 4
"""


def still_open(store: Store, run: str) -> set[tuple[str, str]]:
    """Persona and model of the assistants that a run still has something to ask."""
    return {(from_utf8(p), from_utf8(m)) for p, m in store.read(_OPEN, [run])}


def earlier(
    store: Store,
    run: str,
    assistants: Sequence[Assistant],
    cases: Sequence[Case],
    why: str = NOT_LOOKED,
) -> list[Delivery]:
    """What was found by the runs that made the answers which this run has already; the worst.

    ``why`` is said of those that no run looked at.
    """
    made_in: dict[tuple[str, str], set[str]] = {}
    for persona, model, other in store.read(_MADE_IN, [run]) if assistants else ():
        made_in.setdefault((from_utf8(persona), from_utf8(model)), set()).add(other)
    makers = set().union(*made_in.values())
    known = {each.run: _proven(each.manifest) for each in store.runs() if each.run in makers}
    found = []
    for assistant in assistants:
        unknown = not_audited(assistant, "not asked", why)
        requests = {
            _request(assistant.model, assistant.persona_in, digest)
            for digest in {Trial(case, assistant, 0).answering.prompt_digest for case in cases}
        }
        then = [
            worst(
                [made for key, made in known.get(maker, {}).items() if key in requests] or [unknown]
            )
            for maker in sorted(made_in.get((assistant.name, assistant.model), ()))
        ]
        placed = replace(
            worst(then or [unknown]), persona=assistant.name, persona_in=assistant.persona_in
        )
        found.append(placed)
    return found


def with_earlier(now: Delivery, then: Delivery) -> Delivery:
    """What is said of an assistant some of whose answers were there, made as ``then`` says.

    A template that was repaired since repairs none of them.
    """
    if then.ok is not False:
        return now
    detail = then.detail.removeprefix(_EARLIER).strip()
    return worst([now, replace(then, detail=f"{_EARLIER}{detail or then.verdict + '.'}")])


def _proven(manifest: Mapping[str, Any]) -> dict[tuple[str, str, str], Delivery]:
    """What a run found out; what somebody else wrote there proves nothing."""
    with suppress(UsageError):
        made = [each for each in listed(manifest) if each.verdict not in OPEN]
        return {_request(each.model, each.persona_in, each.digest): each for each in made}
    return {}


def _request(model: str, persona_in: str, digest: str) -> tuple[str, str, str]:
    """What tells deliveries apart; a prompt that is not sent stands nowhere."""
    return model, persona_in if digest != digest_of(None) else "", digest


def listed(manifest: Mapping[str, Any]) -> list[Delivery]:
    """The deliveries in a manifest.

    Raises
    ------
    UsageError
        If it holds something else in their place.
    """
    try:
        found = [Delivery(**each) for each in manifest.get("delivery", [])]
        if all(each.verdict in MEANS for each in found):
            return found
    except TypeError:
        pass
    raise UsageError("A manifest in this store lists no deliveries of ours.")


def table(store: Store, run: str, manifest: Mapping[str, Any]) -> pd.DataFrame:
    """One row a persona and model of a run, with ``COLUMNS``; see ``Findings.delivery``."""
    import pandas as pd

    known = {(each.persona, each.model): each for each in listed(manifest)}
    counted = _counted(store, run)
    rows = []
    for raw_persona, raw_model in store.read(
        "SELECT persona, model FROM trials WHERE run = ? GROUP BY 1, 2 ORDER BY MIN(position)",
        [run],
    ):
        persona, model = from_utf8(raw_persona), from_utf8(raw_model)
        why = "The run was made before deliveries were audited, or was broken off."
        made = known.get((persona, model)) or Delivery(persona, model, "unknown", detail=why)
        if made.verdict in OPEN and not model.startswith("scripted:"):
            made = _with_counts(made, counted.get((raw_model, raw_persona)))
        rows.append([made.persona, made.model, made.verdict, made.ok, made.known_by,
                     made.persona_in, made.tokens, made.note])  # fmt: skip
    types = {"ok": "boolean", "tokens": "Int64"}
    columns = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
    return pd.DataFrame(
        {
            name: pd.Series(list(values), dtype=types.get(name, "str"))
            for name, values in zip(COLUMNS, columns, strict=True)
        }
    )


@dataclass(slots=True)
class _Rise:
    """By how much the input tokens rise over an empty prompt, and what the text makes likely."""

    cases: int = 0
    tokens: int = 0
    least: float = 0.0
    most: int = 0


def _counted(store: Store, run: str) -> dict[tuple[str, str], _Rise]:
    """By model and persona; nothing where no persona of the run sends no prompt."""
    rows = list(store.read(_COUNTS, [run]))
    empty = {(model, case): tokens for model, _, case, text, tokens in rows if not text}
    found: dict[tuple[str, str], _Rise] = {}
    for model, persona, case, text, tokens in rows:
        if text and (model, case) in empty:
            rise = found.setdefault((model, persona), _Rise())
            size = len(text.encode())
            rise.cases += 1
            rise.tokens += tokens - empty[model, case]
            rise.least += max(WORDS_AT_LEAST * len(text.split()), size / BYTES_A_TOKEN)
            rise.most += size + FRAME
    return found


def _with_counts(made: Delivery, rise: _Rise | None) -> Delivery:
    if rise is None:
        return made
    tokens = round(rise.tokens / rise.cases)
    fits = rise.least <= rise.tokens <= rise.most
    said = (
        f"{tokens:+,} tokens a question against no prompt, where {rise.least / rise.cases:,.0f} "
        f"to {rise.most / rise.cases:,.0f} were to be expected."
    )
    verdict: Verdict = "counted" if fits else "not counted"
    return replace(made, verdict=verdict, known_by="token counts", tokens=tokens, detail=said)
