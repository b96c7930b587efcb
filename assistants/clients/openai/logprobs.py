"""How likely a model finds an answer that is there already: nothing is generated.

Notes
-----
Of vLLM: ``/tokenize`` with ``messages`` gives the tokens of the prompt as its template renders
it, ``/completions`` with those tokens and ``prompt_logprobs`` what each was worth. Sending tokens,
not text, makes the answer the same tokens under every prompt. Requests with ``prompt_logprobs``
neither use nor fill the server's prefix cache.
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
    """The server does not tell how likely it finds what it is sent."""


async def answer_tokens(
    client: Client,
    messages: Sequence[Message],
    answer: str,
    *,
    ended: bool,
    reasoned: bool = False,
) -> Tokens:
    """The tokens of an answer, as the model would have said them.

    Parameters
    ----------
    client
        Of a server.
    messages
        What was answered, system message first.
    answer
        Not empty.
    ended
        Whether the model ended the answer by itself. The token by which it did is then one of the
        answer's (a persona that wants short answers shows there), if the server's template puts
        one right behind it; else the answer's own tokens are all.
    reasoned
        Whether the answer followed reasoning; see ``prompt_of_reasoned``.

    Raises
    ------
    LogprobsUnavailableError
        If the server has no such route.
    CallError
        If there is no whole reply.
    """
    if reasoned:
        answer = answer.lstrip()  # what parts it from the reasoning is the template's
    alone = await _tokenize(client, {"prompt": answer, "add_special_tokens": False})
    if not ended:
        return alone
    if reasoned:
        whole, at = await _locate_answer(client, messages, answer, alone)
        return whole[at : at + len(alone) + 1]
    before = await prompt_tokens(client, messages)
    whole = await prompt_tokens(client, [*messages, Message("assistant", answer)], asked=False)
    said = (*before, *alone)
    # A template may trim an answer or add to it: then it does not tell where the answer ended.
    return (*alone, whole[len(said)]) if whole[: len(said)] == said != whole else alone


async def prompt_tokens(
    client: Client, messages: Sequence[Message], *, asked: bool = True
) -> Tokens:
    """The tokens of a conversation as the server's template renders it.

    ``asked`` ends it where the model's reply begins; without, it ends after the last message.
    """
    turns = _require_server(client).turns(messages)
    return await _tokenize(client, {"messages": turns, "add_generation_prompt": asked})


async def prompt_tokens_without_reasoning(
    client: Client, messages: Sequence[Message], answer: str, tokens: Tokens
) -> Tokens:
    """The tokens in front of an answer that followed reasoning, without the reasoning.

    Where the model's reply begins, its template may have it think first (``<think>``): an answer
    behind that would stand within the thought. So it is the conversation with the answer in it, as
    the template renders that, up to where the answer's ``tokens`` stand.

    Raises
    ------
    LogprobsUnavailableError
        If the answer does not stand in it, token by token.
    """
    whole, at = await _locate_answer(client, messages, answer.lstrip(), tokens)
    return whole[:at]


async def answer_logprobs(client: Client, prompt: Tokens, answer: Tokens) -> tuple[float, ...]:
    """The log-probability of each token of ``answer`` after ``prompt``, in nats.

    Raises
    ------
    LogprobsUnavailableError
        If the server gives none.
    ContextLengthError
        If prompt, answer and one token more do not fit the model.
    CallError
        If there is no whole reply.
    """
    server = _require_server(client)
    asked = {"prompt": [*prompt, *answer], "max_tokens": 1, "prompt_logprobs": 0}
    reply = await _post(server, "/completions", asked)
    choice = first_choice(reply.get("choices"), client.model)
    given = None if choice is None else choice.get("prompt_logprobs")
    if given is None:
        raise _unavailable(client)
    if not isinstance(given, list) or len(given) != len(prompt) + len(answer):
        raise_malformed(client.model, "it was sent tokens and told of others")
    places = zip(given[len(prompt) :], answer, strict=True)
    return tuple(_read_logprob(place, token, client.model) for place, token in places)


async def _locate_answer(
    client: Client, messages: Sequence[Message], answer: str, tokens: Tokens
) -> tuple[Tokens, int]:
    """The tokens of the conversation with the answer in it, and where in them it begins."""
    whole = await prompt_tokens(client, [*messages, Message("assistant", answer)], asked=False)
    for at in range(len(whole) - len(tokens), 0, -1):
        if whole[at : at + len(tokens)] == tokens:
            return whole, at
    raise LogprobsUnavailableError(
        f"{client.model} reasons before it answers, and its template does not show where an answer "
        "stands behind that, so how likely one is cannot be told.",
    )


async def _tokenize(client: Client, body: Mapping[str, Any]) -> Tokens:
    reply = await _post(_require_server(client), "../tokenize", body)
    tokens = reply.get("tokens")
    if not tokens:  # llama.cpp reads neither `prompt` nor `messages`, and gives none
        raise _unavailable(client)
    if not isinstance(tokens, list) or not all(
        type(t) is int and 0 <= t < _MAX_TOKEN_ID for t in tokens
    ):
        raise_malformed(client.model, "its tokens are no list of numbers")
    return tuple(tokens)


async def _post(server: OpenAIClient, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return await server.post(path, body)
    except BadRequestError as error:
        # Servers without the route, or the setting, say so with one of these two.
        if type(error) not in (BadRequestError, ModelNotFoundError):
            raise
        refused = _unavailable(server, f" ({error.message})")
    raise refused


def _require_server(client: Client) -> OpenAIClient:
    if not isinstance(client, OpenAIClient):
        raise _unavailable(client)
    return client


def _unavailable(client: Client, why: str = "") -> LogprobsUnavailableError:
    return LogprobsUnavailableError(
        f"{client.model} does not tell how likely it finds an answer that is given{why}.",
        fix="vLLM does.",
    )


def _read_logprob(place: object, token: int, model: str) -> float:
    found = place.get(str(token)) if isinstance(place, dict) else None
    value = found.get("logprob") if isinstance(found, dict) else None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise_malformed(model, "a log-probability is missing, or is no number")
    return float(value)
