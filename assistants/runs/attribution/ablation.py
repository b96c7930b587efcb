"""Attribution by ablation, for models that give no log-probabilities: each sentence is removed.

The answers are those of an experiment like any other, whose personas lack one sentence each: they
are stored, counted, capped, resumed after an interrupt, and never paid for twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistants.assistant import Assistant
from assistants.clients import Client
from assistants.design import Design, Limits
from assistants.errors import StoreError, UsageError
from assistants.messages import Sampling
from assistants.models import Catalogue, Model
from assistants.personas import Persona
from assistants.runs import tables
from assistants.runs.attribution.log_likelihood import AnsweredTrial
from assistants.runs.execution import execute
from assistants.runs.forecast import forecast_design
from assistants.runs.store import Store
from assistants.trial import Case
from assistants.utils import Sentences, has_variables

if TYPE_CHECKING:
    import pandas as pd

    from assistants.runs.runner import ProgressCallback

FEWEST_REPEATS = 2
"""The fewest repeats: one draw says nothing about how far a persona lies from itself."""


def ablation_design(
    name: str,
    persona: str,
    found: Sequence[AnsweredTrial],
    texts: Mapping[str, Sentences],
    clients: Mapping[str, Client],
    *,
    max_usd: float | None,
) -> tuple[Design, pd.DataFrame]:
    """Return the design that asks again, and the sentence that each of its personas lacks.

    Parameters
    ----------
    name
        Of the experiment that the answers are from; this one is called ``NAME.attribution``.
    persona
        Whose sentences are left out; those that lack one are called ``PERSONA-without-N``.
    found
        Its answers; they are used again, and draws are added until there are two of each case.
    clients
        By model.

    Raises
    ------
    UsageError
        If the persona's text depends on the case.
    StoreError
        If the stored sampling settings cannot be read.
    """
    import pandas as pd

    if len(texts) > 1:
        raise UsageError(
            f"The text of {persona} depends on the case, so no sentence can be removed in all "
            "cases at once.",
            fix="Name one case: `case=`.",
        )
    ((whole, sentences),) = texts.items()
    plain = plain_name(persona)
    personas = {plain: whole} | {
        f"{plain}-without-{at + 1}": sentences.without(at) for at in range(len(sentences))
    }
    sampling = {each.model: _sampling(each.sampling) for each in found}
    places = {each.model: each.persona_in for each in found}
    design = Design(
        name=f"{name[:48]}.attribution",
        assistants=tuple(
            Assistant(_persona(each, text), client, sampling[model], persona_in=places[model])
            for model, client in clients.items()
            for each, text in personas.items()
        ),
        cases=tuple({e.case: Case(e.case, e.questions, e.reference) for e in found}.values()),
        repeats=max(FEWEST_REPEATS, *(each.repeat + 1 for each in found)),
        baseline=plain,
        description=f"{persona} of {name} less one sentence at a time.",
        limits=Limits(usd=max_usd),
        models={model: _model(model) for model in clients},
    )
    rows = [(f"{plain}-without-{at + 1}", at + 1, text) for at, text in enumerate(sentences.texts)]
    return design, pd.DataFrame(rows, columns=["persona", "sentence", "text"])


def cost_confirmation_error(design: Design, results: Path, why: str) -> UsageError:
    """Return the error that names the cost of asking again, which nobody has agreed to yet."""
    calls = sum(len(case.questions) for case in design.cases)
    calls *= design.repeats * len(design.assistants)
    return UsageError(
        f"{why} Its sentences can be weighed by asking again without each of them: up to "
        f"{calls:,} calls. {forecast_design(design, results)}",
        fix="If you want that, say `regenerate=True`, or set a cap: `max_usd=`.",
    )


async def run_ablation(
    design: Design, results: Path, *, statuses: Any, on_progress: ProgressCallback | None
) -> tuple[pd.DataFrame, str]:
    """Run the design; return its trials, with answers only where they count, and a note."""
    run = await execute(design, results, on_progress=on_progress)
    with Store(results) as store:
        frame = tables.trials(store, run)
    known = frame["status"].isin(statuses)
    lacking = int((~known).sum())
    note = f"{lacking:,} of {len(frame):,} answers are missing (run {run})." if lacking else ""
    return frame.assign(answer=frame["answer"].where(known)), note


def plain_name(persona: str) -> str:
    """Return a persona's name without variables: ``art[audience=children]`` has some."""
    return re.sub(r"[^a-z0-9._-]+", "-", persona.lower()).strip("-.")[:48] or "persona"


def _persona(name: str, text: str) -> Persona:
    """Return a persona whose text is sent as it stands, braces and all."""
    if has_variables(text):
        return Persona(name, "{{ text }}", defaults={"text": text})
    return Persona(name, text)


def _sampling(stored: Mapping[str, Any]) -> Sampling:
    try:
        return Sampling(**{**stored, "stop": tuple(stored.get("stop", ()))})
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"The results folder holds sampling settings that cannot be read: {error}"
        ) from None


def _model(name: str) -> Model:
    try:
        return Catalogue.default().find(name)
    except UsageError:  # a client that was handed in, of a provider that no file names
        return Model(name)
