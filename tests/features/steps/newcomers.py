"""Newcomers in JupyterLab: a project, its notebook, and what each of them wants from it."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from behave import given, then, when
from behave.runner import Context
from playwright.sync_api import Page, expect

from support.browser import ENVIRONMENT
from support.geometry import find_flaws
from support.jupyterlab import ALL_HAVE_RUN, SCREENSHOTS, open_notebook, run_all

RIGHT_OF_SMALL = 2
"""Questions to which the smaller model knows the answer."""


def names_of(text: str) -> list[str]:
    return text.split(", ")


def answer_of(questions: Sequence[dict[str, str]], request: dict[str, Any]) -> str:
    """Answer as two models would: the larger one knows more, and a persona changes the length."""
    question = request["messages"][-1]["content"]
    first = request["messages"][0]
    persona = first["content"] if first["role"] == "system" else ""
    for number, row in enumerate(questions):
        if row["question"] == question:
            knows = request["model"] == "large" or number < RIGHT_OF_SMALL
            letter = row["reference"] if knows else "ABCD".replace(row["reference"], "")[number % 3]
            return f"The answer is **{letter}**."
    length = 2 if "short" in persona.lower() or "two sentences" in persona else 6
    length += (len(question) * len(persona)) % 4 + (4 if "patient" in persona else 0)
    return f"{persona[:24]} " + "Light of another colour takes another way. " * length


@given('a project made from the template "{template}" for the models "{models}"')
def project(context: Context, template: str, models: str) -> None:
    world = context.world
    world.run(["init", "project", "--template", template])
    assert world.done.code == 0, world.done
    world.folder /= "project"
    file = world.folder / "experiment.yaml"
    text, changed = re.subn(
        r"^models: \[.*?\]", f"models: [{models}]", file.read_text(), flags=re.M
    )
    assert changed == 1
    file.write_text(text)
    questions = world.folder / "questions.csv"
    rows = list(csv.DictReader(questions.open())) if questions.is_file() else []
    world.serve(answer=lambda request: answer_of(rows, request))
    (world.folder / ENVIRONMENT).write_text(json.dumps(world.environment))


@given('a pupil\'s persona "{name}"')
def pupils_persona(context: Context, name: str) -> None:
    text = f"---\nlabel: {name.title()}\ndescription: Mine.\n---\nYou are a {name}.\n"
    (context.world.folder / "personas" / f"{name}.md").write_text(text)


@when("I open its notebook, and run all of it")
def run_notebook(context: Context) -> None:
    page: Page = context.page
    open_notebook(page, context.lab, context.world.folder / "notebook.ipynb")
    run_all(page)
    page.wait_for_function(ALL_HAVE_RUN, timeout=600_000)


@then("every cell has run, and all that it shows looks whole")
def all_is_well(context: Context) -> None:
    page: Page = context.page
    assert page.locator("[data-mime-type$='jupyter.error']").all_inner_texts() == []
    assert page.get_by_text("Error displaying widget").count() == 0
    outputs = page.locator(".jp-OutputArea-output .assistants")
    outputs.first.wait_for()
    for number in range(outputs.count()):
        assert find_flaws(page, f".jp-OutputArea-output .assistants >> nth={number}") == []


@then('the answers of "{names}" stand side by side')
def side_by_side(context: Context, names: str) -> None:
    context.answers = answered(context.page)
    found = [name for name, _ in context.answers]
    assert found == names_of(names), found


@when('I click on "{name}"')
def click(context: Context, name: str) -> None:
    context.page.locator(f".jp-OutputArea-output a:has-text('{name}')").click()


@then('a page opens with the answers of "{names}"')
def page_opens(context: Context, names: str) -> None:
    frame = context.page.frame_locator(".jp-HTMLViewer iframe")
    for name in names_of(names):
        frame.locator(f"article[aria-label='{name}']").wait_for()
    context.page.screenshot(path=SCREENSHOTS / "newcomer-teacher.png")


@then("the file alone shows the same in any browser, and fetches nothing")
def file_alone(context: Context) -> None:
    (path,) = context.world.folder.glob("results/*/*/report.html")
    page: Page = context.browser_context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert answered(page) == context.answers, answered(page)
    assert find_flaws(page, "body") == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    page.close()


@when("the server is gone, and a pupil runs a copy of the folder without its results")
def pupil(context: Context) -> None:
    world = context.world
    world.stop_serving()
    ignored = shutil.ignore_patterns("results", ".*")
    pupils = shutil.copytree(world.folder, world.folder.parent / "pupil", ignore=ignored)
    world.folder = Path(pupils)
    run_notebook(context)


@then("the pupil sees the same answers")
def same_answers(context: Context) -> None:
    assert answered(context.page) == context.answers, answered(context.page)


@then('of {count:d} questions "{one}" has {low} right, and "{other}" {high}, whatever the persona')
def share_right(context: Context, count: int, one: str, low: str, other: str, high: str) -> None:
    right: dict[str, list[list[str]]] = {}
    (table,) = tables(context.page, "without_letter")
    for row in table[2:]:  # a model's name stands in the first of its rows
        if len(row) == 5:
            right[row.pop(0)] = rows = []
        rows.append(row)
    assert right == {
        model: [[name, share, str(count), "0"] for name in ("none", "letter", "reasoner")]
        for model, share in ((one, low), (other, high))
    }


@then('it says in words that "{model}" is {points:d} percentage points higher than "{other}"')
def in_words(context: Context, model: str, points: int, other: str) -> None:
    text = f"{model} is {points} percentage points higher in choice than {other}"
    expect(context.page.locator(".headline").get_by_text(text)).to_be_visible()


@then('the numbers below it have the verdict "{verdict}" for each persona')
def verdicts(context: Context, verdict: str) -> None:
    for summary in context.page.get_by_text("The numbers", exact=True).all():
        summary.click()
    first = next(table for table in tables(context.page, "verdict") if len(table) == 4)
    column = first[0].index("verdict")
    assert [row[column] for row in first[1:]] == [verdict] * 3, first


@then('there is a figure "{name}" to include')
def figure(context: Context, name: str) -> None:
    content = (context.world.folder / name).read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")


@then('a LaTeX table has the effects of "{names}", as `assistants effects` has them')
def latex(context: Context, names: str) -> None:
    world = context.world
    world.run(["effects", "--json"])
    expected = {row["persona"]: row for row in json.loads(world.done.out)}
    text = context.page.locator("pre:has-text('begin{tabular}')").inner_text()
    rows = [line.removesuffix(r" \\").split(" & ") for line in text.splitlines() if " & " in line]
    assert [row[0] for row in rows[1:]] == names_of(names) == list(expected)
    column = rows[0].index("Effect (words)")
    for name, row in zip(expected, rows[1:], strict=True):
        effect = row[column].replace("$-$", "-")
        assert float(effect) == round(expected[name]["effect"], 1), (row, expected[name])


def tables(page: Page, heading: str) -> list[list[list[str]]]:
    """Return the texts of the rows of each table that is seen and has a column of this name."""
    found = page.locator(f".jp-OutputArea-output table:visible:has(th:text-is('{heading}'))")
    texts: list[list[list[str]]] = found.evaluate_all(
        "all => all.map(e => [...e.rows].map(row => [...row.cells].map(c => c.innerText.trim())))"
    )
    return texts


def answered(page: Page) -> list[tuple[str | None, str]]:
    """Return the persona and the text of each answer that stands side by side with others."""
    cards = page.locator("td.card > article[aria-label]").all()
    return [
        (card.get_attribute("aria-label"), " ".join((card.text_content() or "").split()))
        for card in cards
    ]
