"""Prompt audits in the manifests of runs, and what the store adds to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from assistants.assistant import Assistant
from assistants.errors import UsageError
from assistants.personas import digest_of
from assistants.runs.audit import token_counts
from assistants.runs.audit.run_audit import not_audited
from assistants.runs.audit.verdicts import MEANS, OPEN, PromptAudit, worst
from assistants.runs.store import Store
from assistants.trial import Case, Trial
from assistants.utils import from_utf8

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("persona", "model", "verdict", "ok", "known_by", "persona_in", "tokens", "note")
"""The columns of the table of prompt audits."""

NOT_LOOKED = "Its answers were there already, and no run looked when they were made."

_EARLIER = "Of answers made earlier: "

_OPEN = """
SELECT DISTINCT t.persona, t.model FROM trials t
LEFT JOIN answers a ON a.key = t.key AND a.final WHERE t.run = ? AND a.key IS NULL
"""
_MADE_IN = """
SELECT DISTINCT t.persona, t.model, a.run FROM trials t
JOIN answers a ON a.key = t.key WHERE t.run = ?
"""


def unanswered_assistants(store: Store, run: str) -> set[tuple[str, str]]:
    """Return persona and model of the assistants that a run still has something to ask."""
    return {(from_utf8(p), from_utf8(m)) for p, m in store.read(_OPEN, [run])}


def audits_of_reused_answers(
    store: Store,
    run: str,
    assistants: Sequence[Assistant],
    cases: Sequence[Case],
    why: str = NOT_LOOKED,
) -> list[PromptAudit]:
    """Return the worst audit of the runs that made the answers which this run reuses.

    ``why`` is said of those that no run looked at.
    """
    made_in: dict[tuple[str, str], set[str]] = {}
    for persona, model, other in store.read(_MADE_IN, [run]) if assistants else ():
        made_in.setdefault((from_utf8(persona), from_utf8(model)), set()).add(other)
    makers = set().union(*made_in.values())
    known = {each.run: _proven(each.manifest) for each in store.runs() if each.run in makers}
    found = []
    for assistant in assistants:
        unknown = not_audited(assistant, "not audited", why)
        requests = {
            _request(assistant.model, assistant.persona_in, digest)
            for digest in {
                Trial(case, assistant, 0).resolved_assistant.prompt_digest for case in cases
            }
        }
        earlier = [
            worst(
                [made for key, made in known.get(maker, {}).items() if key in requests] or [unknown]
            )
            for maker in sorted(made_in.get((assistant.name, assistant.model), ()))
        ]
        placed = replace(
            worst(earlier or [unknown]), persona=assistant.name, persona_in=assistant.persona_in
        )
        found.append(placed)
    return found


def merge_with_previous(now: PromptAudit, then: PromptAudit) -> PromptAudit:
    """Merge the audit of an assistant with ``then``, that of its answers made earlier.

    A template that was repaired since repairs none of them.
    """
    if then.ok is not False:
        return now
    detail = then.detail.removeprefix(_EARLIER).strip()
    return worst([now, replace(then, detail=f"{_EARLIER}{detail or then.verdict + '.'}")])


def _proven(manifest: Mapping[str, Any]) -> dict[tuple[str, str, str], PromptAudit]:
    """Return the proven audits of a manifest; what a stranger wrote there proves nothing."""
    with suppress(UsageError):
        made = [each for each in listed(manifest) if each.verdict not in OPEN]
        return {_request(each.model, each.persona_in, each.digest): each for each in made}
    return {}


def _request(model: str, persona_in: str, digest: str) -> tuple[str, str, str]:
    """Return the key of an audit; a prompt that is not sent stands nowhere."""
    return model, persona_in if digest != digest_of(None) else "", digest


def listed(manifest: Mapping[str, Any]) -> list[PromptAudit]:
    """Return the prompt audits of a manifest.

    Raises
    ------
    UsageError
        If it holds something else in their place.
    """
    try:
        found = [PromptAudit(**each) for each in manifest.get("delivery", [])]
        if all(each.verdict in MEANS for each in found):
            return found
    except TypeError:
        pass
    raise UsageError("A manifest in this results folder lists prompt audits that cannot be read.")


def table(store: Store, run: str, manifest: Mapping[str, Any]) -> pd.DataFrame:
    """Return the table that ``RunStatistics.prompt_audit`` documents."""
    import pandas as pd

    known = {(each.persona, each.model): each for each in listed(manifest)}
    counted = token_counts.token_increases(store, run)
    rows = []
    for raw_persona, raw_model in store.read(
        "SELECT persona, model FROM trials WHERE run = ? GROUP BY 1, 2 ORDER BY MIN(position)",
        [run],
    ):
        persona, model = from_utf8(raw_persona), from_utf8(raw_model)
        why = "The run was made before deliveries were audited, or was broken off."
        made = known.get((persona, model)) or PromptAudit(persona, model, "unknown", detail=why)
        if made.verdict in OPEN and not model.startswith("scripted:"):
            made = token_counts.with_token_increase(made, counted.get((model, persona)))
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
