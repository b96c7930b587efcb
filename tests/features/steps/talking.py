"""Questions and conversations."""

from __future__ import annotations

from behave import then, when
from behave.runner import Context


@when('I ask "{question}" of "{names}"')
def ask(context: Context, question: str, names: str) -> None:
    wanted = [word for name in names.split(", ") for word in ("-p", name)]
    context.world.run(["ask", "-m", "vllm:m", *wanted, question])


@then('there are answers from "{names}"')
def answers_from(context: Context, names: str) -> None:
    heads = [line for line in context.world.done.out.splitlines() if line.startswith("==")]
    assert [head.split()[1] for head in heads] == names.split(", ")
    assert context.world.done.out.count("As ") == len(heads)


@when('I chat with "{name}" and say "{first}" and "{second}"')
def chat(context: Context, name: str, first: str, second: str) -> None:
    context.world.run(["chat", "-m", "vllm:m", "-p", name], stdin=f"{first}\n{second}\n")
    context.questions = first, second


@then("the conversation is kept as a Markdown file with both questions")
def kept(context: Context) -> None:
    (log,) = context.world.folder.glob("results/chat/*/conversation.md")
    text = log.read_text(encoding="utf-8")
    assert all(f"> {question}\n" in text for question in context.questions), text


@then("the second question was sent with what went before it")
def sent_with_history(context: Context) -> None:
    messages = context.world.server.requests[1].json["messages"]
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
