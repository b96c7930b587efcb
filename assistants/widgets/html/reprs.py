"""The pages that a notebook shows of the values that people handle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import singledispatch
from pathlib import Path
from typing import Any

from markupsafe import Markup

from assistants.assistant import Assistant
from assistants.errors import AssistantsError
from assistants.experiment import Experiment
from assistants.messages import Completion, Message, Transcript
from assistants.personas import Library, Persona
from assistants.results import Results, Run
from assistants.runs import Migration
from assistants.runs.improvement import Improvement
from assistants.servers import Server
from assistants.trial import Case, Trial
from assistants.utils import pluralize, truncate_line
from assistants.widgets.html.markdown import to_html
from assistants.widgets.html.persona_improvement import improvement
from assistants.widgets.html.render import Html, table, text_table, ui
from assistants.widgets.html.run_statistics import migration
from assistants.widgets.html.run_summary import answer_facts, overview, prompt_html

MAX_ROWS = 50
"""Rows of a table that stands for a value; how many more there are is said."""

_PACKAGE = Path(__file__).resolve().parents[2]


def page(value: object) -> str:
    """Return safe HTML for a value, whatever text is in it.

    An error in reading a file or a store is shown on the page, not raised: the value is only
    looked at.
    """
    try:
        body = _body(value)
    except AssistantsError as error:
        body = ui.code(repr(value)) + ui.sentence(str(error), bad=True)
    return Html(body, "")._repr_html_()


def personas_table(personas: Sequence[Persona], most: int | None = None) -> Html:
    """Return name, label, description and source of each persona, of at most ``most``."""
    rows = [
        [p.name, p.label, p.description, p.source if p.plugin else source_label(p.source)]
        for p in personas[:most]
    ]
    columns = ["persona", "label", "description", "source"]
    return text_table(columns, rows, omitted=len(personas) - len(rows))


def source_label(source: str) -> str:
    """Return the file something was read from; ``built in`` for what came with the package."""
    try:
        is_inside = Path(source).resolve().is_relative_to(_PACKAGE)
    except (ValueError, OSError):  # no path at all
        return source
    return "built in" if is_inside else source


@singledispatch
def _body(value: object) -> Markup:
    return ui.code(repr(value))


@_body.register
def _(value: Message) -> Markup:
    if value.role == "system":
        return ui.folded("system prompt", to_html(value.content))
    return ui.emphasis(value.role) + ui.question(to_html(value.content))


@_body.register
def _(value: Completion) -> Markup:
    reasoning = ui.folded("reasoning", to_html(value.reasoning)) if value.reasoning else ""
    facts = answer_facts(value.status, value.usage.output_tokens, value.total_s)
    badge = ui.badge([*facts, value.served_model or ""])
    return Markup("{}{}<p>{}</p>").format(reasoning, to_html(value.text), badge)


@_body.register
def _(value: Transcript) -> Markup:
    messages = Markup().join(_body(message) for message in value.messages)
    return messages + ui.emphasis("assistant") + _body(value.completion)


@_body.register
def _(value: Persona) -> Markup:
    facts = {
        "persona": value.name,
        "label": value.label,
        "description": value.description,
        "sampling": _settings(value.sampling.as_dict()),
        "variables": _settings(value.defaults),
        "file": source_label(value.source),
    }
    return ui.facts(facts) + _prompt(value.text)


@_body.register
def _(value: Library) -> Markup:
    return personas_table(value.all(), MAX_ROWS).body


@_body.register
def _(value: Assistant) -> Markup:
    facts = {
        "assistant": value.name,
        "model": value.model,
        "description": value.persona.description,
        "sampling": _settings(value.effective_sampling.as_dict()),
    }
    return ui.facts(facts) + _prompt(value.system_prompt)


@_body.register
def _(value: Case) -> Markup:
    questions = Markup().join(ui.question(to_html(turn)) for turn in value.questions)
    facts = {"reference": value.reference or "", "variables": _settings(value.variables)}
    return ui.facts({"case": value.id}) + questions + ui.facts(facts)


@_body.register
def _(value: Trial) -> Markup:
    assistant = value.resolved_assistant
    facts = {"assistant": str(assistant), "repeat": str(value.repeat), "key": value.key}
    return ui.facts(facts) + _body(value.case) + _prompt(assistant.system_prompt)


@_body.register
def _(value: Server) -> Markup:
    return ui.facts({"server": value.record.name, **value.card})


@_body.register
def _(value: Experiment) -> Markup:
    roles = {control.persona: f"{control.kind} control of {control.of}"
             for control in value.controls}  # fmt: skip
    if value.baseline is not None:
        roles[value.baseline] = "baseline"
    assistants = [
        [one.name, one.model, _settings(one.effective_sampling.as_dict()), roles.get(one.name, "")]
        for one in value.assistants[:MAX_ROWS]
    ]
    limits = {"usd": value.limits.usd, "tokens": value.limits.tokens,
              "minutes": value.limits.minutes}  # fmt: skip
    facts = {
        "experiment": value.name,
        "description": value.description,
        "trials": f"{pluralize(len(value.assistants), 'assistant')} x "
        f"{pluralize(len(value.cases), 'case')} x {pluralize(value.repeats, 'repeat')}"
        f" = {pluralize(len(value), 'trial')}",
        "scorers": ", ".join(scorer.name for scorer in (*value.scorers, *value.judges)),
        "limits": _settings({k: v for k, v in limits.items() if v is not None}),
        "file": source_label(value.source),
    }
    cases = [[case.id, truncate_line(case.turns[0], 100)] for case in value.cases[:5]]
    return Markup().join([
        ui.facts(facts),
        text_table(["persona", "model", "sampling", "role"], assistants,
                   omitted=len(value.assistants) - MAX_ROWS),
        text_table(["case", "question"], cases, omitted=len(value.cases) - 5),
    ])  # fmt: skip


@_body.register
def _(value: Results) -> Markup:
    runs = value.runs()[::-1]
    if not runs:
        return ui.code(repr(value))
    rows = [[run.id, run.experiment, run.outcome, _counts(run)] for run in runs[:MAX_ROWS]]
    columns = ["run", "experiment", "outcome", "trials"]
    return text_table(columns, rows, omitted=len(runs) - MAX_ROWS).body


@_body.register
def _(value: Run) -> Markup:
    return overview(value).body + table(value.summary()).body


@_body.register
def _(value: Improvement) -> Markup:
    return improvement(value).body


@_body.register
def _(value: Migration) -> Markup:
    return migration(value).body


def _counts(run: Run) -> str:
    return ", ".join(f"{count} {status}" for status, count in run.statuses().items())


def _prompt(text: str | None) -> Markup:
    if text is None:
        return prompt_html(None)
    return ui.folded(f"system prompt, {pluralize(len(text.split()), 'word')}", to_html(text))


def _settings(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())
