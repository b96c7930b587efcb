"""Refusals of models, remembered for the next call and the next process.

A refusal costs nothing, yet each has to be met once. What was seen is kept in a file of the user's
for a month, because a provider may change its mind.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from assistants.utils import write_atomically

_KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A parameter that a model refused, and the ``reasoning_effort`` that was sent with it.

    Models that reason refuse ``temperature`` with one effort and take it with another.
    """

    parameter: str
    reasoning_effort: str | None = None


@dataclass(frozen=True, slots=True)
class Observations:
    """Facts about a model, known from its refusals.

    Attributes
    ----------
    refusals
        Parameters that it refused.
    max_tokens_field
        The name under which it takes the cap on tokens, if not that of its provider's entry.
    streams
        False if it refused to stream.
    seen
        The date of the last refusal, ``YYYY-MM-DD``.
    """

    refusals: frozenset[Refusal] = frozenset()
    max_tokens_field: str | None = None
    streams: bool = True
    seen: str = ""

    def refused(self, reasoning_effort: str | None) -> frozenset[str]:
        """Return the parameters that were refused together with this ``reasoning_effort``."""
        return frozenset(
            r.parameter for r in self.refusals if r.reasoning_effort == reasoning_effort
        )


def observed(identity: str) -> Observations:
    """Return what was seen of the model with this identity in the last month."""
    return all_observed().get(identity, Observations())


def refused_parameters(identity: str, reasoning_effort: str | None) -> frozenset[str]:
    """Return the parameters that a model was seen to refuse together with a reasoning effort."""
    return observed(identity).refused(reasoning_effort)


def all_observed() -> dict[str, Observations]:
    """Return what was seen of every model in the last month, by its identity."""
    known: dict[str, Observations] = {}
    for identity, entry in _read().items():
        with suppress(TypeError, ValueError, KeyError):  # a file of another version, or damaged
            value = Observations(
                **{**entry, "refusals": frozenset(Refusal(**r) for r in entry["refusals"])}
            )
            if date.fromisoformat(value.seen) + _KEPT >= datetime.now(UTC).date():
                known[identity] = value
    return known


def remember(identity: str, new: Observations) -> None:
    """Keep what is known of a model now, as far as the folder can be written to."""
    known = all_observed()
    known[identity] = replace(new, seen=datetime.now(UTC).date().isoformat())
    with suppress(OSError):
        content = {name: _as_dict(value) for name, value in known.items()}
        write_atomically(observations_file(), json.dumps(content, indent=1))


def observations_file() -> Path:
    """Return the path of the file in which refusals are remembered."""
    import platformdirs

    return platformdirs.user_state_path("assistants") / "refusals.json"


def describe_observations(value: Observations) -> Iterator[str]:
    """Yield what was seen of a model, a phrase each."""
    for refusal in _in_order(value.refusals):
        effort = refusal.reasoning_effort
        beside = f" with reasoning_effort {effort}" if effort else ""
        yield f"refused {refusal.parameter}{beside}"
    if value.max_tokens_field is not None:
        yield f"takes {value.max_tokens_field}"
    if not value.streams:
        yield "does not stream"


def _in_order(refusals: Iterable[Refusal]) -> list[Refusal]:
    return sorted(refusals, key=lambda r: (r.parameter, r.reasoning_effort or ""))


def _as_dict(value: Observations) -> dict[str, Any]:
    return {
        "refusals": [asdict(refusal) for refusal in _in_order(value.refusals)],
        "max_tokens_field": value.max_tokens_field,
        "streams": value.streams,
        "seen": value.seen,
    }


def _read() -> Mapping[str, Any]:
    try:
        content = json.loads(observations_file().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
