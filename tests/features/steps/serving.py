"""A server, and what it was asked."""

from __future__ import annotations

from behave import given, then, when
from behave.runner import Context


@given("a server")
@when("the server is up again")
def server(context: Context) -> None:
    context.teller.serve()


@given("a server that takes {seconds:f} seconds for an answer")
def slow_server(context: Context, seconds: float) -> None:
    context.teller.serve(latency=seconds)


@when("the server goes down")
def server_goes(context: Context) -> None:
    context.teller.stop_serving()


@then("nothing was asked")
def nothing_asked(context: Context) -> None:
    assert context.teller.asked == 0


@then("{number:d} questions were asked")
def questions_asked(context: Context, number: int) -> None:
    assert context.teller.asked == number, context.teller.asked


@then("exactly the rest was asked")
def the_rest_asked(context: Context) -> None:
    assert context.teller.asked == context.left, (context.teller.asked, context.left)
