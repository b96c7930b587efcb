"""Forecasts: what a run would ask and about what it would cost, before anything is spent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from assistants.clients import start_concurrency
from assistants.design import Design
from assistants.errors import UsageError
from assistants.messages import Usage
from assistants.models import Model, batch_cost, call_cost
from assistants.runs import judging
from assistants.runs.first_calls import with_known_refusals
from assistants.runs.manifest import ignored_settings
from assistants.runs.runner import BATCH, batches
from assistants.runs.store import FILE, Store
from assistants.techniques import Load, Sidecar
from assistants.trial import Trial
from assistants.utils import pluralize

if TYPE_CHECKING:
    import pandas as pd

_GUESSED_ANSWER = 300
"""Tokens of an answer where neither a cap nor an earlier answer tells more."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """An estimate. ``None`` is "nobody knows", which is not 0.

    ``input_tokens`` counts four characters a token; ``output_tokens`` goes by this model's earlier
    answers, or else by ``max_tokens``; ``seconds`` by earlier answers, as many in flight as the
    model takes. ``judging`` of the trials are what judges are asked. ``replays`` says that a tape
    answers and no model is asked. ``batch_discount`` is the part of the price that a run by batch
    saves; ``None`` for another run. ``sent`` are trials in batches of earlier runs, which this one
    waits for. ``warnings`` are sentences on what is likely to go wrong.
    """

    trials: int
    answered: int
    input_tokens: int
    output_tokens: int
    usd: float | None
    seconds: float | None
    judging: int = 0
    replays: bool = False
    warnings: tuple[str, ...] = ()
    batch_discount: float | None = None
    sent: int = 0

    @property
    def to_ask(self) -> int:
        """Trials that the run would ask."""
        return self.trials - self.answered

    def __str__(self) -> str:
        if not self.to_ask:
            return f"{pluralize(self.trials, 'trial')}, all answered already: nothing to ask."
        if self.replays:
            return (
                f"{pluralize(self.trials, 'trial')}, {self.answered:,} answered already, "
                f"{self.to_ask:,} to replay from a tape: no model is asked."
            )
        tokens = self.input_tokens + self.output_tokens
        money = "cost unknown" if self.usd is None else f"about ${self.usd:.4f}"
        if self.usd == 0:
            money = "free"
        hours = "time unknown" if self.seconds is None else f"about {_span(self.seconds)}"
        if self.batch_discount is not None:
            saved = self.batch_discount
            price = "half price" if saved == 0.5 else f"{saved:.0%} off"
            money += f" ({price} by batch)"
            hours = "up to 24 hours for each turn"
        sent = f" ({self.sent:,} sent by batch before)" if self.sent else ""
        judges = f" ({self.judging:,} of them for judges)" if self.judging else ""
        return (
            f"{pluralize(self.trials, 'trial')}{judges}, {self.answered:,} answered already, "
            f"{self.to_ask:,} to ask{sent}: about {tokens:,} tokens, {money}, {hours}."
        )


@dataclass(slots=True)
class _Sum:
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, input_tokens: int, output_tokens: int) -> None:
        """Count a call."""
        self.calls += 1
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens


@dataclass(frozen=True, slots=True)
class _Turn:
    """A turn that is to be asked; ``calls`` are those of its techniques."""

    number: int
    input_tokens: int
    output_tokens: int
    calls: tuple[tuple[Sidecar, int, int], ...]


def forecast_trials(
    trials: Iterable[Trial],
    judge_trials: Iterable[Trial],
    store: Store | None,
    model_of: Callable[[str], Model],
    cost: Callable[[Model, Usage], float | None] = call_cost,
    concurrency: int | None = None,
) -> Forecast:
    """Estimate calls, tokens, cost and time; one pass over the trials, in bounded memory.

    Parameters
    ----------
    trials
        Of an experiment.
    judge_trials
        What its judges are asked about them, as far as that is known.
    store
        Where answers may already be; ``None`` if there is no results folder yet.
    model_of
        Gives the entry of a model by its name, for prices.
    cost
        Gives the dollars of one call.
    concurrency
        Calls in flight, if the experiment sets them.
    """
    total = answered = sent = 0
    sums: dict[str, _Sum] = {}
    workers: dict[str, int] = {}
    usual = _usual(store)
    of_judges = list(judge_trials)
    requests: set[int] = set()
    for batch in batches(chain(trials, of_judges), BATCH):
        keys = [trial.key for trial in batch]
        done = store.finished(keys) if store else set()
        sent += len(store.batches_of(keys).keys() - done) if store else 0
        for trial, key in zip(batch, keys, strict=True):
            total += 1
            if key in done:
                answered += 1
                continue
            model = trial.assistant.model
            client = trial.assistant.client
            workers[model] = min(concurrency or start_concurrency(client), client.max_concurrency)
            for turn in _turns(trial, usual.get(model, (None, None))[0]):
                sums.setdefault(model, _Sum()).add(turn.input_tokens, turn.output_tokens)
                for sidecar, read, written in turn.calls:
                    client = sidecar.client
                    workers.setdefault(client.model, start_concurrency(client))
                    asker = trial.resolved_assistant.digest if sidecar.reads_answers else ""
                    place = (trial.case.digest, turn.number, trial.draw_index)
                    request = hash((place, sidecar, asker))
                    if request not in requests:  # equal side calls are made once
                        requests.add(request)
                        sums.setdefault(client.model, _Sum()).add(read, written)
    return Forecast(
        trials=total,
        answered=answered,
        input_tokens=sum(s.input_tokens for s in sums.values()),
        output_tokens=sum(s.output_tokens for s in sums.values()),
        usd=_usd(sums, model_of, cost),
        seconds=_seconds(sums, usual, workers),
        judging=len(of_judges),
        sent=sent,
    )


def _turns(trial: Trial, usual_tokens: float | None) -> Iterator[_Turn]:
    """Yield a trial's turns; each is sent with the system message and all that precedes it."""
    assistant = trial.resolved_assistant
    cap = assistant.effective_sampling.max_tokens
    answer = round(usual_tokens) if usual_tokens is not None else cap or _GUESSED_ANSWER
    answer = min(answer, cap or answer)
    persona, history = len(assistant.system_prompt or "") // 4, 0
    for number, question in enumerate(trial.case.questions):
        tokens = len(question) // 4 + 4
        load = Load(history, tokens, turns=number)
        for technique in assistant.techniques:
            load = technique.forecast(load)
        yield _Turn(number, persona + load.history + load.question, answer, load.calls)
        history += tokens + answer


def _usual(store: Store | None) -> dict[str, tuple[float | None, float | None]]:
    """Return mean answer tokens and seconds of each model's calls in the store."""
    if store is None:
        return {}
    query = (
        "SELECT t.model, AVG(a.output_tokens), AVG(a.total_s) FROM answers a "
        "JOIN (SELECT DISTINCT key, model FROM trials) t ON t.key = a.key GROUP BY t.model"
    )
    return {model: (tokens, seconds) for model, tokens, seconds in store.read(query)}


def _usd(
    sums: dict[str, _Sum],
    model_of: Callable[[str], Model],
    cost: Callable[[Model, Usage], float | None],
) -> float | None:
    total = 0.0
    for name, s in sums.items():
        # Of the mean call: long calls cost more a token at some providers, and a sum looks long.
        mean = Usage(round(s.input_tokens / s.calls), round(s.output_tokens / s.calls))
        of_call = cost(model_of(name), mean)
        if of_call is None:
            return None
        total += of_call * s.calls
    return total


def _seconds(
    sums: dict[str, _Sum],
    usual: dict[str, tuple[float | None, float | None]],
    workers: dict[str, int],
) -> float | None:
    """Return the seconds of the slowest model, since models run beside each other."""
    spans: list[float] = []
    for name, s in sums.items():
        seconds = usual.get(name, (None, None))[1]
        if seconds is None:
            return None
        spans.append(seconds * s.calls / workers[name])
    return max(spans, default=0.0)


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def forecast_design(design: Design, results: str | Path) -> Forecast:
    """Return what a run of ``design`` would ask and cost. Nothing is asked or written."""
    design = with_known_refusals(design)
    with Store(results) if (Path(results) / FILE).exists() else nullcontext() as store:
        estimate = _estimate(design, store)
    if design.tape is not None and design.tape.exists():
        return replace(estimate, usd=0.0, seconds=0.0, replays=True)
    return (
        replace(estimate, warnings=tuple(model_warnings(design))) if estimate.to_ask else estimate
    )


_SOON = timedelta(days=90)
_ROOM_TO_REASON = 1_000
"""Tokens; below such a cap, reasoning often leaves no room for an answer."""


def model_warnings(design: Design, today: date | None = None) -> Iterator[str]:
    """Yield a sentence for whatever of the models is likely to go wrong."""
    if design.batch and design.limits.minutes is not None:
        yield (
            f"The cap of {design.limits.minutes:g} minutes ends the wait for a batch, but not the "
            "batch: run again to collect it."
        )
    today = today or datetime.now(UTC).date()
    asked = [*design.assistants, *(judge.assistant for judge in design.judges)]
    for name in design.asked_models:
        model = design.model(name)
        if model.ends is not None and model.ends < today:
            yield f"{name} was to be switched off on {model.ends}."
        elif model.ends is not None and model.ends - today <= _SOON:
            yield f"{name} is switched off on {model.ends}."
        if not any(a.model == name for a in asked):
            continue  # a sidecar, whose settings are its own
        bound = min(a.client.max_concurrency for a in asked if a.model == name)
        wanted = design.concurrency or 0
        if wanted > bound and model.provider != "scripted":
            yield f"{name} takes no more than {pluralize(bound, 'call')} at a time."
        settings = [a.effective_sampling for a in asked if a.model == name]
        reasoning = [s for s in settings if _reasons(model, s.reasoning_effort)]
        caps = [s.max_tokens for s in reasoning if s.max_tokens is not None]
        if caps and min(caps) < _ROOM_TO_REASON:
            yield (
                f"{name} reasons, which counts as answer tokens: {min(caps):,} may leave no room "
                f"for an answer. Raise `max_tokens`, or lower `reasoning_effort`."
            )
        sent = {setting for s in reasoning for setting in s.as_dict()}
        if refused := sorted(model.refuses & sent):
            yield (
                f"{name} is thought to refuse {' and '.join(refused)} while it reasons; the first "
                "call will tell, for nothing."
            )
        if ignored := sorted(ignored_settings(design, name)):
            yield f"{' and '.join(ignored)}: sent to {name}, and not known to be applied there."


def _reasons(model: Model, effort: str | None) -> bool:
    return model.reasons if effort is None else effort != "none"


def _estimate(design: Design, store: Store | None) -> Forecast:
    judge_trials = judging.expected_judge_trials(design, store) if design.judges else []
    if not design.batch:
        return forecast_trials(
            design.trials(), judge_trials, store, design.model, concurrency=design.concurrency
        )
    by_batch = forecast_trials(design.trials(), judge_trials, store, design.model, batch_cost)
    asked = [*design.assistants, *(judge.assistant for judge in design.judges)]
    discounts = [design.model(assistant.model).batch_discount or 0.0 for assistant in asked]
    return replace(by_batch, seconds=None, batch_discount=min(discounts, default=0.0))


REPEATS = (1, 2, 3, 5, 10)
"""Numbers of repeats to choose from, and the experiment's own."""


def power_table(
    design: Design, effect: float, *, sd: float, sd_within_case: float, power: float
) -> pd.DataFrame:
    """Return the table that ``Experiment.power`` documents."""
    import pandas as pd

    from assistants.analysis import cases_needed, power_of, sd_of_difference

    beside = {control.persona for control in design.controls}
    names = [assistant.name for assistant in design.assistants]
    compared = len([name for name in names if name not in beside | {design.baseline}])
    if design.baseline is None or not compared:
        raise UsageError("Power is that of a comparison: name a baseline and a persona.")
    if sd < 0 or sd_within_case < 0:
        raise UsageError(f"sd is {sd} and sd_within_case {sd_within_case}; neither can be below 0.")
    estimate = _estimate(design, None)
    known = len(design.cases)
    rows = []
    for repeats in sorted({*REPEATS, design.repeats}):
        try:
            spread = sd_of_difference(sd, sd_within_case, repeats)
            cases = cases_needed(effect, spread, power=power, personas=compared)
            now = power_of(effect, spread, known, personas=compared) if known > 1 else None
        except ValueError as error:
            raise UsageError(str(error)) from None
        trials = cases * repeats * len(design.assistants)
        share = trials / (estimate.trials - estimate.judging)
        rows.append(
            {
                "repeats": repeats,
                "cases": cases,
                "trials": trials,
                "tokens": round((estimate.input_tokens + estimate.output_tokens) * share),
                "usd": None if estimate.usd is None else estimate.usd * share,
                "power_now": now,
            }
        )
    return pd.DataFrame(rows).astype({"usd": "Float64", "power_now": "Float64"})
