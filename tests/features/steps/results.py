"""What is in the results, and in the folder."""

from __future__ import annotations

from behave import then, when
from behave.runner import Context


@then("every trial is answered")
def all_answered(context: Context) -> None:
    rows = context.world.table = context.world.rows()
    assert set(rows["status"]) <= {"ok", "length"}, rows["status"].value_counts()
    assert rows["answer"].str.len().gt(0).all()


@then("the personas gave different answers")
def different(context: Context) -> None:
    assert context.world.table["answer"].nunique() == context.world.table["persona"].nunique()


@then("the answers are the same as before")
def same_as_before(context: Context) -> None:
    assert list(context.world.rows()["answer"]) == list(context.world.table["answer"])


@then("there is a report to look at")
def report(context: Context) -> None:
    (page,) = context.world.folder.glob("results/exp/*/report.html")
    text = page.read_text(encoding="utf-8")
    assert all(f'aria-label="{name}"' in text for name in ("none", "art"))
    assert str(page.relative_to(context.world.folder)) in context.world.done.out


@then("every answer that came is kept")
def kept(context: Context) -> None:
    statuses = context.world.rows()["status"]
    answered = (statuses == "ok").sum()
    # Four calls were in flight; what was complete before them is kept.
    assert answered >= context.world.asked - 4 > 0, (answered, context.world.asked)
    context.left = len(statuses) - answered


@then("{number:d} trials are failures, each with its reason")
def failures(context: Context, number: int) -> None:
    rows = context.world.rows()
    failed = rows[rows["status"] == "error"]
    assert len(failed) == number
    assert failed["error"].str.contains("no server answered").all(), list(failed["error"])
    assert failed["answer"].isna().all()
    assert len(rows) == 4


@then('the table in "{folder}" is the same')
def same_table(context: Context, folder: str) -> None:
    columns = ["persona", "case", "repeat", "answer", "status", "output_tokens"]
    here, there = (context.world.rows(f)[columns] for f in ("results", folder))
    assert here.equals(there)


@then("nothing was written")
def nothing_written(context: Context) -> None:
    left = {path.name for path in context.world.folder.iterdir()}
    assert left <= {"exp.yaml", "questions.csv"}, left


@when("I ask for the list of personas")
def list_personas(context: Context) -> None:
    context.world.run(["personas"])


@then('the persona "{name}" answered as "{words}"')
def answered_as(context: Context, name: str, words: str) -> None:
    rows = context.world.table = context.world.rows()
    answers = rows[rows["persona"] == name]["answer"]
    assert answers.str.startswith(f"As {words}").all(), list(answers)


@then('the digest of "{name}" is another one')
def another_digest(context: Context, name: str) -> None:
    rows = context.world.table
    assert not set(rows[rows["persona"] == name]["persona_digest"]) & context.digests
