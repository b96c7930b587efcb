"""Starting a project of one's own."""

from __future__ import annotations

from behave import then, when
from behave.runner import Context


@when('I go to "{folder}"')
def go_to(context: Context, folder: str) -> None:
    context.world.folder /= folder


@then("it names a report, which is there")
def names_a_report(context: Context) -> None:
    page = context.world.folder / context.world.done.out.strip()
    assert page.name == "report.html", page
    assert "<html" in page.read_text("utf-8")
