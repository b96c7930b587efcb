"""What a notebook shows of the values that people handle: safe HTML, as a person would read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import singledispatch
from pathlib import Path
from typing import Any

from assistants.assistant import Assistant
from assistants.errors import AssistantsError
from assistants.experiment import Experiment
from assistants.messages import Completion, Message, Transcript
from assistants.personas import Library, Persona
from assistants.results import Results, Run
from assistants.servers.server import Server
from assistants.trial import Case, Trial
from assistants.utils.text import escape_control_chars, pluralize, truncate_line
from assistants.widgets.html.markdown import escape, to_html
from assistants.widgets.html.run_summary import Html, overview
from assistants.widgets.html.run_summary import table as frame_table

_MOST = 50
"""Rows of a table: what is longer is no glance, and says how much longer it is."""

_PACKAGE = Path(__file__).resolve().parents[2]

_CELL = 'align="left" valign="top" style="text-align: left; vertical-align: top"'


def page(value: object) -> str:
    """Safe HTML for a value, whatever text is in it.

    A file or a store that cannot be read is said on the page, not raised: nobody asked for
    anything but to look.
    """
    try:
        body = _body(value)
    except AssistantsError as error:
        body = f'<p><code>{escape(repr(value))}</code></p><p class="bad">{escape(str(error))}</p>'
    return Html(body, "")._repr_html_()


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, most: int | None = None
) -> Html:
    """Texts as a table; in plain text too, for a terminal.

    Parameters
    ----------
    columns
        The heads.
    rows
        As many texts a row as there are columns.
    most
        Leave out the rows after so many, and say how many they are.
    """
    found = [[escape_control_chars(value) for value in row] for row in rows]
    left = len(found) - most if most is not None else 0
    found = found[:most]
    more = f"... and {left:,} more" if left > 0 else ""
    head = "".join(f"<th {_CELL}>{escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td {_CELL}>{escape(value)}</td>" for value in row) + "</tr>"
        for row in found
    )
    page = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    note = f"<p>{more}</p>" if more else ""
    plain = [*_aligned([columns, *found]), *([more] if more else [])]
    return Html(f'<table class="dataframe">{page}</table>{note}', "\n".join(plain))


def personas_table(personas: Iterable[Persona], most: int | None = None) -> Html:
    """Name, label, description and file of each."""
    rows = [[p.name, p.label, p.description, place(p.source)] for p in personas]
    return table(["persona", "label", "description", "file"], rows, most=most)


def place(source: str) -> str:
    """Where something was read; what came with the package is no path of this machine."""
    try:
        inside = Path(source).resolve().is_relative_to(_PACKAGE)
    except (ValueError, OSError):  # no path at all
        return source
    return "built in" if inside else source


@singledispatch
def _body(value: object) -> str:
    return f"<p><code>{escape(repr(value))}</code></p>"


@_body.register
def _(value: Message) -> str:
    if value.role == "system":
        return _folded("system prompt", value.content)
    return f'<p><b>{escape(value.role)}</b></p><div class="question">{to_html(value.content)}</div>'


@_body.register
def _(value: Completion) -> str:
    thought = _folded("reasoning", value.reasoning) if value.reasoning else ""
    facts = f'<p><span class="facts">{escape(", ".join(_facts(value)))}</span></p>'
    return f"{thought}{to_html(value.text)}{facts}"


@_body.register
def _(value: Transcript) -> str:
    said = "".join(_body(message) for message in value.messages)
    return f"{said}<p><b>assistant</b></p>{_body(value.completion)}"


@_body.register
def _(value: Persona) -> str:
    facts = {"persona": value.name, "label": value.label, "description": value.description,
             "sampling": _settings(value.sampling.as_dict()),
             "variables": _settings(value.defaults), "file": place(value.source)}  # fmt: skip
    return _listed(facts) + _prompt(value.text)


@_body.register
def _(value: Library) -> str:
    return personas_table(value.all(), _MOST).body


@_body.register
def _(value: Assistant) -> str:
    facts = {"assistant": value.name, "model": value.model,
             "description": value.persona.description,
             "sampling": _settings(value.settings.as_dict())}  # fmt: skip
    return _listed(facts) + _prompt(value.system_prompt)


@_body.register
def _(value: Case) -> str:
    questions = "".join(f'<div class="question">{to_html(turn)}</div>' for turn in value.questions)
    facts = {"reference": value.reference or "", "variables": _settings(value.variables)}
    return _listed({"case": value.id}) + questions + _listed(facts)


@_body.register
def _(value: Trial) -> str:
    answering = value.answering
    facts = {"assistant": str(answering), "repeat": str(value.repeat), "key": value.key}
    return _listed(facts) + _body(value.case) + _prompt(answering.system_prompt)


@_body.register
def _(value: Server) -> str:
    return _listed({"server": value.entry.name, **value.card})


@_body.register
def _(value: Experiment) -> str:
    control_of = {each.persona: f"{each.kind} control of {each.of}" for each in value.controls}
    rows = [
        [each.name, each.model, _settings(each.settings.as_dict()),
         "baseline" if each.name == value.baseline else control_of.get(each.name, "")]
        for each in value.assistants
    ]  # fmt: skip
    caps = {"usd": value.limits.usd, "tokens": value.limits.tokens, "minutes": value.limits.minutes}
    scorers = [each.name for each in (*value.scorers, *value.judges)]
    facts = {
        "experiment": value.name,
        "description": value.description,
        "trials": f"{pluralize(len(value.assistants), 'assistant')} x {pluralize(len(value.cases), 'case')}"
        f" x {pluralize(value.repeats, 'repeat')} = {pluralize(len(value), 'trial')}",
        "scorers": ", ".join(scorers),
        "limits": _settings({k: v for k, v in caps.items() if v is not None}),
        "file": place(value.source),
    }
    who = table(["persona", "model", "sampling", "role"], rows, most=_MOST).body
    asked = [[case.id, truncate_line(case.turns[0], 100)] for case in value.cases]
    return _listed(facts) + who + table(["case", "question"], asked, most=5).body


@_body.register
def _(value: Results) -> str:
    runs = value.runs()[::-1]
    rows = [[run.id, run.experiment, run.outcome, _counts(run)] for run in runs[:_MOST]]
    if not runs:
        return f"<p><code>{escape(repr(value))}</code></p>"
    left = len(runs) - len(rows)
    more = f"<p>... and {left:,} more</p>" if left else ""
    return table(["run", "experiment", "outcome", "trials"], rows).body + more


@_body.register
def _(value: Run) -> str:
    return overview(value).body + frame_table(value.summary()).body


def _counts(run: Run) -> str:
    return ", ".join(f"{count} {status}" for status, count in run.statuses().items())


def _facts(completion: Completion) -> list[str]:
    """How it ended if not well, tokens, seconds, who answered; and nothing made up."""
    said: list[str] = [] if completion.status == "ok" else [completion.status]
    if completion.usage.output_tokens is not None:
        said.append(pluralize(completion.usage.output_tokens, "token"))
    if completion.total_s is not None:
        said.append(f"{completion.total_s:.1f} s")
    return [*said, completion.served_model] if completion.served_model else said


def _prompt(text: str | None) -> str:
    if text is None:
        return "<p><i>No system prompt.</i></p>"
    return _folded(f"system prompt, {pluralize(len(text.split()), 'word')}", text)


def _folded(summary: str, text: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{to_html(text)}</details>"


def _listed(facts: Mapping[str, str]) -> str:
    """A list of what is known."""
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items() if v)
    return f"<dl>{rows}</dl>" if rows else ""


def _settings(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines whose columns stand under each other; the last column may be as long as it likes."""
    flat = [[" ".join(value.split()) for value in row] for row in rows]
    widths = [max(len(value) for value in column) for column in zip(*flat, strict=True)]
    return [
        "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip()
        for row in flat
    ]
