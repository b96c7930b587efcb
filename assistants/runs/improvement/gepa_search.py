"""The optimizer ``gepa``: its search over edits, under the discipline of all others.

gepa decides which persona is edited next and on which cases to work. It sees only the cases to work
on and to choose by. Answers, proposals, limits and the store are ours, and it computes no figure
that is reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from assistants.personas import Persona
from assistants.runs.improvement.plan import MINIBATCH, Stage
from assistants.runs.improvement.session import Session
from assistants.trial import Case
from assistants.utils import run_in_daemon_thread

if TYPE_CHECKING:
    import pandas as pd

_COMPONENT = "persona"
_REFUSAL = "no better on the cases to work on"

_T = TypeVar("_T")


async def search_by_gepa(session: Session) -> None:
    """Let gepa propose as many candidates as the rounds would, and keep those that it accepts."""
    plan = session.plan
    most = plan.rounds * plan.candidates
    adapter = _Adapter(session, asyncio.get_running_loop())

    def search() -> list[str]:
        from gepa import optimize

        is_binary = plan.score.kind == "binary"
        found = optimize(
            seed_candidate={_COMPONENT: session.original.text or ""},
            trainset=list(plan.split.work),
            valset=list(plan.split.choose),
            adapter=adapter,
            custom_candidate_proposer=adapter.propose,
            # An answer counts once; a proposal is tried on a minibatch and, if accepted, on all.
            max_metric_calls=(1 + most) * (len(plan.split.choose) + 2 * MINIBATCH),
            stop_callbacks=lambda state: adapter.has_ended(most),
            reflection_minibatch_size=MINIBATCH,
            skip_perfect_score=is_binary,
            perfect_score=max(0.0, float(plan.sign)),
            logger=_NoLog(),
            track_best_outputs=False,
            seed=0,
        )
        return [candidate[_COMPONENT] for candidate in found.candidates]

    try:
        accepted = await run_in_daemon_thread(search, "gepa")
    except Exception:
        adapter.raise_error()
        raise
    finally:
        await adapter.close()
    adapter.raise_error()  # gepa takes an error in a proposal for a proposal that failed
    session.candidates = [
        candidate
        if candidate.persona is None or candidate.persona.text in accepted
        else replace(candidate, persona=None, refusal=_REFUSAL)
        for candidate in session.candidates
    ]


class _NoLog:
    """A log that keeps nothing: the store has every answer."""

    def log(self, message: str) -> None:
        """Drop a message."""


@dataclass
class _Adapter:
    """The adapter that gepa calls, in its thread; questions are asked in the event loop's."""

    session: Session
    loop: asyncio.AbstractEventLoop
    error: BaseException | None = None
    task: asyncio.Task[Any] | None = None
    is_closed: bool = False
    lowest: float | None = None
    personas: dict[str, Persona] = field(default_factory=dict)
    propose_new_texts: None = None

    def evaluate(
        self, batch: list[Case], candidate: Mapping[str, str], capture_traces: bool = False
    ) -> Any:
        """Ask a persona about cases, and return the mean score of each; higher is better."""
        from gepa import EvaluationBatch

        scored = self._wait(self._scored(self._persona(candidate), batch))
        sign = self.session.plan.sign
        means = (scored.groupby("case", sort=False)["value"].mean() * sign).to_dict()
        known = [mean for mean in means.values() if mean == mean]
        self.lowest = min([*known, *([] if self.lowest is None else [self.lowest])], default=None)
        # The search needs a number for each case. What lost its answer ranks with the worst seen;
        # the effects that are reported count it as missing.
        fallback = 0.0 if self.lowest is None else self.lowest
        scores = [mean if (mean := means[case.id]) == mean else fallback for case in batch]
        rows = [scored[scored["case"] == case.id].to_dict("records") for case in batch]
        return EvaluationBatch(
            outputs=rows, scores=scores, trajectories=rows if capture_traces else None
        )

    def make_reflective_dataset(
        self, candidate: Mapping[str, str], evaluated: Any, components: Sequence[str]
    ) -> dict[str, list[dict[str, Any]]]:
        """Return the scored answers that a proposal is made from."""
        return {_COMPONENT: [row for rows in evaluated.trajectories for row in rows]}

    def propose(
        self,
        candidate: Mapping[str, str],
        reflective_dataset: Mapping[str, Sequence[Mapping[str, Any]]],
        components_to_update: list[str],
    ) -> dict[str, str]:
        """Return an edited persona; nothing if the editor's text is no candidate."""
        import pandas as pd

        scored = pd.DataFrame(reflective_dataset[_COMPONENT])
        number = len(self.session.candidates) + 1
        asked = self.session.propose(number, self._persona(candidate), scored, 1)
        (persona,) = self._wait(asked)
        if persona is None:
            return {}
        self.personas[persona.text or ""] = persona
        return {_COMPONENT: persona.text or ""}

    def has_ended(self, most: int) -> bool:
        """Return whether the search is to stop: enough was proposed, or something failed."""
        ended = self.error is not None or self.is_closed
        return ended or len(self.session.candidates) >= most

    def raise_error(self) -> None:
        """Raise what failed while gepa asked."""
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        """Cancel what gepa is waiting for, and wait until it has ended."""
        self.is_closed = True
        if self.task is not None and not self.task.done():
            self.task.cancel()
            await asyncio.wait([self.task])

    def _persona(self, candidate: Mapping[str, str]) -> Persona:
        return self.personas.get(candidate[_COMPONENT], self.session.original)

    async def _scored(self, persona: Persona, batch: Sequence[Case]) -> pd.DataFrame:
        chosen_by = self.session.plan.split.choose
        stage: Stage = "choose" if all(case in chosen_by for case in batch) else "work"
        return await self.session.scored(stage, persona, batch)

    def _wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine in the event loop and wait for it; an error ends the search."""

        async def run() -> _T:
            self.task = asyncio.current_task()
            return await work

        if self.is_closed or self.error is not None:
            work.close()
            raise RuntimeError("The search has ended.")
        try:
            return asyncio.run_coroutine_threadsafe(run(), self.loop).result()
        except Exception as error:
            self.error = error
            raise
