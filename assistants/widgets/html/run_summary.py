"""The overview of a run: how it ended, its answers side by side, its prompts and failures."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from markupsafe import Markup

from assistants.messages import AVERAGED, FINISHED
from assistants.results import Run
from assistants.runs import case_names, is_known
from assistants.utils import pluralize, truncate_line
from assistants.widgets.html.markdown import to_html
from assistants.widgets.html.render import Absent, Html, table, to_csv, ui

OPEN_CASES = 4
"""Cases whose answers are in sight; those of further ones open at a click."""

MAX_CSV = 1_000_000
"""Characters of a table of answers that a page offers as a file; larger ones make it slow."""

_IN_CSV = ["case", "question", "persona", "model", "repeat", "status", "answer", "error"]


def opening(run: Run) -> Html:
    """Return in a few words what the personas changed, and what the models did."""
    text = run.headline()
    if len(run.statistics.models) > 1:
        text += f"\n\n{run.headline(by='model')}"
    return Html(ui.headline(to_html(text)), text)


def overview(run: Run) -> Html:
    """Return what was run, how it ended, and how often each status occurred."""
    counts = run.statuses()
    not_averaged = {s: n for s, n in counts.items() if s not in AVERAGED}
    facts = {
        "experiment": f"{run.experiment}: {run.manifest['description']}",
        "run": f"{run.id}, {run.outcome}",
        "models": ", ".join(model["name"] for model in run.manifest["models"]),
        "trials": ", ".join(f"{n} {status}" for status, n in counts.items()),
    }
    if not_averaged:
        facts["left out of averages"] = ", ".join(f"{n} {s}" for s, n in not_averaged.items())
    return Html(ui.facts(facts), "\n".join(f"{name}: {value}" for name, value in facts.items()))


def means(run: Run) -> Html:
    """Return the mean of each score, and the words, tokens and seconds of an answer."""
    scores, spent = run.means(), run.summary()
    further = [name for name in ("words", "output_tokens", "total_s") if name not in scores]
    both = scores.join(spent[further])
    names = {"counted": "answers that count", "output_tokens": "tokens", "total_s": "seconds"}
    alone = ["model"] if both["model"].nunique() == 1 else []
    whole = ["counted"] if both["counted"].eq(both["trials"]).all() else []
    return table(both.drop(columns=[*alone, *whole]).rename(columns=names), run.summary())


def side_by_side(run: Run, most: int = 200) -> Html:
    """Return the answers to each case beside each other, further repeats and cases folded.

    The answers of each model begin a row.

    Parameters
    ----------
    run
        The run.
    most
        Cases to show; how many are left out is said.
    """
    frame = run.trials()
    with_model = frame["model"].nunique() > 1
    parts: list[Markup] = []
    by_case = islice(frame.groupby(["case", "question"], sort=False), most)
    for number, ((_, question), of_case) in enumerate(by_case):
        rows = [
            [
                _card(of_one.to_dict("records"), with_model)
                for _, of_one in of_model.groupby("persona", sort=False)
            ]
            for _, of_model in of_case.groupby("model", sort=False)
        ]
        asked, answers = to_html(str(question)), Markup().join(map(ui.cards, rows))
        if number < OPEN_CASES:
            parts += [ui.question(asked), answers]
        else:
            summary = truncate_line(str(question), 100)
            parts.append(ui.folded(summary, ui.question(asked) + answers))
    omitted = frame["case"].nunique() - most
    if omitted > 0:
        parts.append(ui.sentence(f"{pluralize(omitted, 'more case')}: see the trials table."))
    plain = f"{pluralize(len(frame), 'answer')}, side by side"
    csv = to_csv(frame[_IN_CSV])
    return Html(Markup().join(parts), plain, csv if len(csv) <= MAX_CSV else "")


def prompts(run: Run) -> Html:
    """Return the system prompts word for word, as they were sent."""
    sent = run.manifest.get("system_prompts", [])
    cards = [
        ui.card(
            prompt["persona"],
            [prompt["digest"]],
            prompt_html(prompt["system_prompt"]),
            article=False,
        )
        for prompt in sent
    ]
    return Html(ui.cards(cards), f"{len(cards)} system prompts")


def prompt_html(text: str | None) -> Markup:
    """Return a system prompt as HTML, or a sentence saying that there is none."""
    return ui.aside("No system prompt.") if text is None else to_html(text)


def failures(run: Run) -> Html:
    """Return the trials without an answer, and why; those with one reason are one row."""
    frame = run.trials()
    failed = ~frame["status"].isin(FINISHED)
    columns = ["persona", "model", "case", "repeat", "status", "attempts", "error"]
    if not failed.any():
        return Absent("Every trial was answered.")
    listed = frame.loc[failed, columns]
    names = case_names(frame)
    alone = ["model"] if frame["model"].nunique() == 1 else []
    by = [name for name in ("persona", "model", "status", "error") if name not in alone]
    groups = listed.groupby(by, sort=False, dropna=False)["case"]
    merged = groups.agg(
        trials="size", cases=lambda cases: ", ".join(names[case] for case in cases.unique())
    ).reset_index()
    return table(merged, listed)


def answer_facts(status: str, output_tokens: Any, total_s: Any) -> list[str]:
    """Return how an answer ended if not well, its tokens and seconds; only what is known."""
    facts = [] if status == "ok" else [status]
    if is_known(output_tokens):
        facts.append(pluralize(int(output_tokens), "token"))
    if is_known(total_s):
        facts.append(f"{total_s:.1f} s")
    return facts


def _card(rows: list[Mapping[str, Any]], with_model: bool) -> Markup:
    first, *repeats = rows
    name = f"{first['persona']} on {first['model']}" if with_model else first["persona"]
    folded = [
        ui.folded(Markup("repeat {} {}").format(row["repeat"], ui.badge(_facts(row))), _answer(row))
        for row in repeats
    ]
    body = Markup().join([_answer(first), *folded])
    return ui.card(name, _facts(first), body, bad=first["status"] not in AVERAGED)


def _facts(row: Mapping[str, Any]) -> list[str]:
    return answer_facts(str(row["status"]), row["output_tokens"], row["total_s"])


def _answer(row: Mapping[str, Any]) -> Markup:
    text = to_html(row["answer"]) if is_known(row["answer"]) else ""
    return ui.answer(text, row["error"] if is_known(row["error"]) else "")
