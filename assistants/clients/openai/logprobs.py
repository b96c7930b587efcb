"""Log-probabilities of a given answer: nothing is generated.

Notes
-----
With vLLM, ``/tokenize`` with ``messages`` returns the tokens of the prompt as its template renders
it, and ``/completions`` with those tokens and ``prompt_logprobs`` the log-probability of each.
Sending tokens instead of text keeps the answer's tokens the same under every prompt. Requests with
``prompt_logprobs`` neither use nor fill the server's prefix cache.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from assistants.clients.base import Client
from assistants.clients.openai.client import OpenAIClient
from assistants.clients.openai.response import first_choice, raise_malformed
from assistants.errors import BadRequestError, ModelNotFoundError
from assistants.messages import Message

Tokens = tuple[int, ...]

_MAX_TOKEN_ID = 2**31
"""No vocabulary is larger."""


class LogprobsUnavailableError(BadRequestError):
    """The server does not return log-probabilities of a prompt."""


async def answer_tokens(
    client: Client,
    messages: Sequence[Message],
    answer: str,
    *,
    is_finished: bool,
    has_reasoning: bool = False,
) -> Tokens:
    """Return the tokens of an answer, as the model would have generated them.

    Parameters
    ----------
    client
        A client of a server.
    messages
        The conversation before the answer, system message first.
    answer
        Not empty.
    is_finished
        True if the model ended the answer by itself. The end token is then part of the answer (it
        shows the effect of a persona that wants short answers), if the server's template puts one
        right after the answer.
    has_reasoning
        True if the answer followed reasoning; see ``prompt_tokens_without_reasoning``.

    Raises
    ------
    LogprobsUnavailableError
        If the server has no such route.
    CallError
        If the reply is not complete.
    """
    if has_reasoning:
        answer = answer.lstrip()  # the template separates it from the reasoning
    alone = await _tokenize(client, {"prompt": answer, "add_special_tokens": False})
    if not is_finished:
        return alone
    if has_reasoning:
        whole, start = await _locate_answer(client, messages, answer, alone)
        return whole[start : start + len(alone) + 1]
    before = await prompt_tokens(client, messages)
    whole = await _conversation_tokens(client, messages, answer)
    expected = (*before, *alone)
    # A template may trim an answer or add to it: then it does not show where the answer ended.
    return (*alone, whole[len(expected)]) if whole[: len(expected)] == expected != whole else alone


async def prompt_tokens(
    client: Client, messages: Sequence[Message], *, add_generation_prompt: bool = True
) -> Tokens:
    """Return the tokens of a conversation as the server's template renders it.

    With ``add_generation_prompt`` they end where the model's reply begins, otherwise after the
    last message.
    """
    turns = _require_server(client).request_messages(messages)
    body = {"messages": turns, "add_generation_prompt": add_generation_prompt}
    return await _tokenize(client, body)


async def prompt_tokens_without_reasoning(
    client: Client, messages: Sequence[Message], answer: str, tokens: Tokens
) -> Tokens:
    """Return the tokens before an answer that followed reasoning, without the reasoning.

    A template may begin the model's reply with a thought (``<think>``): an answer put there would
    be part of the thought. Therefore the conversation is rendered with the answer in it, and cut
    where the answer's ``tokens`` begin.

    Raises
    ------
    LogprobsUnavailableError
        If the answer's tokens are not in the rendered conversation.
    """
    whole, start = await _locate_answer(client, messages, answer.lstrip(), tokens)
    return whole[:start]


async def answer_logprobs(client: Client, prompt: Tokens, answer: Tokens) -> tuple[float, ...]:
    """Return the log-probability of each token of ``answer`` after ``prompt``, in nats.

    Raises
    ------
    LogprobsUnavailableError
        If the server returns none.
    ContextLengthError
        If prompt, answer and one more token do not fit the model.
    CallError
        If the reply is not complete.
    """
    server = _require_server(client)
    body = {"prompt": [*prompt, *answer], "max_tokens": 1, "prompt_logprobs": 0}
    reply = await _post(server, "/completions", body)
    choice = first_choice(reply.get("choices"), client.model)
    entries = None if choice is None else choice.get("prompt_logprobs")
    if entries is None:
        raise _unavailable(client)
    if not isinstance(entries, list) or len(entries) != len(prompt) + len(answer):
        raise_malformed(client.model, "its log-probabilities are not those of the tokens sent")
    pairs = zip(entries[len(prompt) :], answer, strict=True)
    return tuple(_read_logprob(entry, token, client.model) for entry, token in pairs)


async def _conversation_tokens(client: Client, messages: Sequence[Message], answer: str) -> Tokens:
    return await prompt_tokens(
        client, [*messages, Message("assistant", answer)], add_generation_prompt=False
    )


async def _locate_answer(
    client: Client, messages: Sequence[Message], answer: str, tokens: Tokens
) -> tuple[Tokens, int]:
    """Return the tokens of the conversation with the answer, and the index where it begins."""
    whole = await _conversation_tokens(client, messages, answer)
    for start in range(len(whole) - len(tokens), 0, -1):
        if whole[start : start + len(tokens)] == tokens:
            return whole, start
    raise LogprobsUnavailableError(
        f"{client.model} reasons before it answers, and its template does not show where the "
        "answer begins, so the log-probability of an answer cannot be computed.",
    )


async def _tokenize(client: Client, body: Mapping[str, Any]) -> Tokens:
    reply = await _post(_require_server(client), "../tokenize", body)
    tokens = reply.get("tokens")
    if not tokens:  # llama.cpp reads neither `prompt` nor `messages`, and returns none
        raise _unavailable(client)
    if not isinstance(tokens, list) or not all(
        type(token) is int and 0 <= token < _MAX_TOKEN_ID for token in tokens
    ):
        raise_malformed(client.model, "its tokens are not a list of numbers")
    return tuple(tokens)


async def _post(server: OpenAIClient, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return await server.post(path, body)
    except BadRequestError as error:
        # Servers without the route, or the setting, answer with one of these two.
        if type(error) not in (BadRequestError, ModelNotFoundError):
            raise
        refused = _unavailable(server, f" ({error.message})")
    raise refused


def _require_server(client: Client) -> OpenAIClient:
    if not isinstance(client, OpenAIClient):
        raise _unavailable(client)
    return client


def _unavailable(client: Client, reason: str = "") -> LogprobsUnavailableError:
    return LogprobsUnavailableError(
        f"{client.model} does not return the log-probabilities of a given answer{reason}.",
        fix="Use a model on vLLM.",
    )


def _read_logprob(entry: object, token: int, model: str) -> float:
    details = entry.get(str(token)) if isinstance(entry, dict) else None
    value = details.get("logprob") if isinstance(details, dict) else None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise_malformed(model, "a log-probability is missing, or is not a number")
    return float(value)
