"""A server, and what it was asked."""

from __future__ import annotations

from behave import given, then, when
from behave.runner import Context


@given("a server")
@when("the server is up again")
def server(context: Context) -> None:
    context.world.serve()


@given("a server that takes {seconds:f} seconds for an answer")
def slow_server(context: Context, seconds: float) -> None:
    context.world.serve(latency=seconds)


@when("the server goes down")
def server_goes(context: Context) -> None:
    context.world.stop_serving()


@then("nothing was asked")
def nothing_asked(context: Context) -> None:
    assert context.world.asked == 0


@then("{number:d} questions were asked")
def questions_asked(context: Context, number: int) -> None:
    assert context.world.asked == number, context.world.asked


@then("exactly the rest was asked")
def the_rest_asked(context: Context) -> None:
    assert context.world.asked == context.left, (context.world.asked, context.left)
