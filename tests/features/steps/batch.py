"""A run by batch, left and picked up."""

from __future__ import annotations

import signal
import time

from behave import given, then, when
from behave.runner import Context

from assistants.messages import Usage
from assistants.models import Catalogue, call_cost

_RUN = ["run", "exp.yaml", "--no-report", "--batch", "-m"]


@given("OpenAI takes its time over batches")
def hold(context: Context) -> None:
    context.world.batches.held = True


@when("I start it by batch, and kill it when the batch is out")
def start_and_kill(context: Context) -> None:
    world = context.world
    world.start([*_RUN, "chatgpt"], wait=False)
    end = time.monotonic() + 60
    while "retrieve" not in world.batches.steps:
        assert time.monotonic() < end, "no batch was sent"
        assert world.process.poll() is None, world.process.communicate()
        time.sleep(0.01)
    world.stop(signal.SIGKILL)


@when("OpenAI has done the batch")
def release(context: Context) -> None:
    context.world.batches.held = False


@when("I run it by batch")
def run_by_batch(context: Context) -> None:
    context.world.run([*_RUN, "chatgpt"])


@when('I run it by batch on "{model}"')
def run_by_batch_on(context: Context, model: str) -> None:
    context.world.run([*_RUN, model])


@then("every answer but the first cost half")
def half(context: Context) -> None:
    rows = context.world.rows().iloc[1:]
    assert len(rows) == len(context.world.batches.asked)
    model = Catalogue.default().find("chatgpt")
    for row in rows.to_dict("records"):
        whole = call_cost(model, Usage(int(row["input_tokens"]), int(row["output_tokens"])))
        assert whole is not None
        assert abs(row["cost_usd"] - whole / 2) < 1e-12
