"""Static HTML of what was found: it needs no kernel, no script and no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from itertools import islice
from typing import TYPE_CHECKING, Any

from assistants.messages import AVERAGED
from assistants.results import Run
from assistants.runs.tables import is_known
from assistants.utils.text import escape_control_chars, pluralize
from assistants.widgets.html.markdown import escape, to_html

if TYPE_CHECKING:
    import pandas as pd


_CELL = "text-align: left; vertical-align: top"


class Html:
    """HTML that is safe to show: everything in it that is text went through ``markdown.py``."""

    def __init__(self, body: str, plain: str) -> None:
        self.body = body
        self.plain = plain

    def __repr__(self) -> str:
        return self.plain

    def _repr_html_(self) -> str:
        return f'<style>{style()}</style><div class="assistants">{self.body}</div>'


@lru_cache(maxsize=1)
def style() -> str:
    """The style sheet of everything this package shows in a notebook."""
    return files("assistants.widgets").joinpath("static/style.css").read_text(encoding="utf-8")


def overview(run: Run) -> Html:
    """What was run, how it ended, and every status that occurred, counted aloud."""
    manifest, counts = run.manifest, run.statuses()
    not_averaged = {s: n for s, n in counts.items() if s not in AVERAGED}
    facts = {
        "experiment": f"{run.experiment}: {manifest['description']}",
        "run": f"{run.id}, {run.outcome}",
        "models": ", ".join(model["name"] for model in manifest["models"]),
        "trials": ", ".join(f"{n} {status}" for status, n in counts.items()),
    }
    if not_averaged:
        said = ", ".join(f"{n} {status}" for status, n in not_averaged.items())
        facts["left out of averages"] = said
    plain = "\n".join(f"{name}: {value}" for name, value in facts.items())
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items())
    return Html(f"<dl>{rows}</dl>", plain)


def side_by_side(run: Run, most: int = 200) -> Html:
    """The personas' answers to each case beside each other, further repeats folded away.

    At most ``most`` cases: a page of thousands helps nobody, and how many are left out is said.
    """
    frame = run.trials()
    several = frame["model"].nunique() > 1
    parts: list[str] = []
    for (_, question), of_case in islice(frame.groupby(["case", "question"], sort=False), most):
        cards = [
            _card(answers.to_dict("records"), several)
            for _, answers in of_case.groupby(["persona", "model"], sort=False)
        ]
        parts.append(f'<div class="question">{to_html(str(question))}</div>{_cards(cards)}')
    left = frame["case"].nunique() - most
    if left > 0:
        parts.append(f"<p>{pluralize(left, 'more case')}: see the trials table.</p>")
    return Html("".join(parts), f"{pluralize(len(frame), 'answer')}, side by side")


def prompts(run: Run) -> Html:
    """The system prompts word for word, as they were sent."""
    cards = [
        f"<header><b>{escape(each['persona'])}</b> "
        f'<span class="facts">{escape(each["digest"])}</span></header>{_prompt(each)}'
        for each in run.manifest.get("system_prompts", [])
    ]
    return Html(_cards(cards), f"{len(cards)} system prompts")


def table(frame: pd.DataFrame) -> Html:
    """A DataFrame with every cell whole, and nothing where nothing is known."""
    import pandas as pd

    known = frame.astype(object).where(frame.notna(), float("nan"))  # of pandas' ways to say it
    safe = known.map(lambda value: escape_control_chars(value) if isinstance(value, str) else value)
    with pd.option_context("display.max_colwidth", None):
        body = safe.to_html(index=False, escape=True, na_rep="", float_format="{:.4g}".format)
    return Html(body, frame.to_string(index=False))


def failures(run: Run) -> Html:
    """The trials without an answer, and why."""
    frame = run.trials()
    wanted = frame["status"].isin(["error", "truncated", "open"])
    columns = ["persona", "model", "case", "repeat", "status", "attempts", "error"]
    if not wanted.any():
        return Html("<p>Every trial was answered.</p>", "Every trial was answered.")
    return table(frame.loc[wanted, columns])


def _card(rows: list[Mapping[str, Any]], with_model: bool) -> str:
    first, *others = rows
    name = f"{first['persona']} on {first['model']}" if with_model else first["persona"]
    more = "".join(
        f"<details><summary>repeat {row['repeat']} {_facts(row)}</summary>{_body(row)}</details>"
        for row in others
    )
    failed = "" if first["status"] in AVERAGED else ' class="bad"'
    return (
        f'<article aria-label="{escape(name)}"><header{failed}><b>{escape(name)}</b> '
        f"{_facts(first)}</header>{_body(first)}{more}</article>"
    )


def _cards(bodies: Sequence[str]) -> str:
    """Cards side by side, in a table: GitHub and an untrusted notebook take away every style."""
    rows = [bodies[start : start + 3] for start in range(0, len(bodies), 3)]
    cells = (
        "".join(f'<td class="card" align="left" valign="top" style="{_CELL}">{b}</td>' for b in row)
        for row in rows
    )
    table = "".join(f"<tr>{row}</tr>" for row in cells)
    return f'<table class="cards" role="presentation">{table}</table>'


def _facts(row: Mapping[str, Any]) -> str:
    """Status where it is not ``ok``, tokens, seconds."""
    facts = [] if row["status"] == "ok" else [str(row["status"])]
    if is_known(row["output_tokens"]):
        facts.append(f"{row['output_tokens']} tokens")
    if is_known(row["total_s"]):
        facts.append(f"{row['total_s']:.1f} s")
    return f'<span class="facts">{escape(", ".join(facts))}</span>'


def _body(row: Mapping[str, Any]) -> str:
    answer = to_html(row["answer"]) if is_known(row["answer"]) else ""
    error = f'<p class="bad">{escape(row["error"])}</p>' if is_known(row["error"]) else ""
    return answer + error


def _prompt(each: Mapping[str, Any]) -> str:
    text = each["system_prompt"]
    return "<p><i>No system prompt.</i></p>" if text is None else to_html(text)
