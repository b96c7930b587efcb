"""One model in place of another."""

from __future__ import annotations

from behave import given, then, when
from behave.runner import Context


@given('an experiment of {number:d} questions on the model "{model}", scored by words')
def on_model(context: Context, number: int, model: str) -> None:
    # Of different lengths, so that a wordy model's answers are longer by different amounts.
    questions = [f"Question {'and so on ' * n}?" for n in range(number)]
    context.world.experiment(models=[f"vllm:{model}"], cases=questions, scorers=["words"])


@when('I migrate it from "{old}" to "{new}"')
def migrate(context: Context, old: str, new: str) -> None:
    context.world.run(["migrate", "exp.yaml", "--from", old, "--to", new])


@when('I migrate it with "{options}" from "{old}" to "{new}"')
def migrate_with(context: Context, options: str, old: str, new: str) -> None:
    context.world.run(["migrate", "exp.yaml", "--from", old, "--to", new, *options.split()])


@then("there is a page about the migration")
def page(context: Context) -> None:
    (found,) = context.world.folder.glob("results/exp/*/migration.html")
    assert "The answers that differ most" in found.read_text(encoding="utf-8")
    assert str(found.relative_to(context.world.folder)) in context.world.done.out
