"""The optimizer ``edits``: in each round a few edits of the best persona so far."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from assistants.personas import Persona
from assistants.runs.improvement.session import Session

if TYPE_CHECKING:
    import pandas as pd


async def search_by_edits(session: Session) -> None:
    """Propose candidates round by round, each round from the best persona so far."""
    plan = session.plan
    best = session.original
    for number in range(1, plan.rounds + 1):
        scored = await session.scored("work", best, plan.split.work)
        await session.propose(number, best, scored, plan.candidates)
        if number < plan.rounds:
            best = best_persona(session, await choice_effects(session))


async def choice_effects(session: Session) -> pd.DataFrame | None:
    """Return the effects of the candidates on the cases to choose by; ``None`` without any."""
    if len(session.personas) < 2:
        return None
    statistics = await session.ask("choose", session.personas, session.plan.split.choose)
    return statistics.effects(session.plan.score.name)


def best_persona(session: Session, effects: pd.DataFrame | None) -> Persona:
    """Return the persona with the largest gain, of equal ones the shortest; or the original."""
    if effects is None:
        return session.original
    gains = dict(zip(effects["persona"], effects["effect"] * session.plan.sign, strict=True))

    def rank(persona: Persona) -> tuple[float, int]:
        gain = gains.get(session.plan.assistant(persona).name, 0.0)
        return (-math.inf if math.isnan(gain) else gain, -len(persona.text or ""))

    candidates = [p for p in session.personas[1:] if rank(p)[0] > 0]
    return max(candidates, key=rank, default=session.original)
