"""A loopback server that tells log-probabilities, as vLLM does, of a model that anybody can follow.

Its tokens are the bytes of a text, and 256 ends a message. Each token of an answer costs half a
nat, and two more where the system message lacks the sentence that the answer needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from support.faulty_replies import Step, json_reply
from support.faulty_server import FaultyServer, Request

END = 256
NEEDED = "Say banana."
"""While the persona has this sentence, answers are likely."""


def rendered(messages: list[dict[str, str]], asked: bool) -> list[int]:
    tokens: list[int] = []
    for message in messages:
        tokens += [*f"<{message['role']}>{message['content']}".encode(), END]
    return [*tokens, *b"<assistant>"] if asked else tokens


def of_vllm(request: Request) -> dict[str, Any]:
    """A stand-in for vLLM's ``/tokenize`` and ``/completions``."""
    if not request.body:  # its metrics
        return {}
    body = request.json
    if request.path == "/tokenize" and "messages" in body:
        return {"tokens": rendered(body["messages"], body["add_generation_prompt"])}
    if request.path == "/tokenize":
        return {"tokens": list(body["prompt"].encode())}
    assert request.path == "/v1/completions"
    assert (body["max_tokens"], body["prompt_logprobs"]) == (1, 0)
    text = bytes(token if token < END else 0 for token in body["prompt"]).decode()
    worth = -0.5 if NEEDED in text.split("<user>")[0] else -2.5
    told = [None, *({str(t): {"logprob": worth, "rank": 1}} for t in body["prompt"][1:])]
    return {"choices": [{"index": 0, "text": "x", "prompt_logprobs": told}]}


def of_thinking(request: Request) -> dict[str, Any]:
    """As ``of_vllm``, of a model that thinks: its template begins a reply with an open thought.

    What stands in the thought is dear, and so is what follows no thought at all.
    """
    body = request.json if request.body else {}
    if request.path == "/tokenize" and "messages" in body:
        tokens = rendered(body["messages"], body["add_generation_prompt"])
        opened, closed = b"<assistant><think>", b"<assistant><think></think>"
        text = _written(tokens).replace(b"<assistant>", closed)
        if body["add_generation_prompt"]:
            text = text.removesuffix(closed) + opened
        return {"tokens": [END if byte == 0 else byte for byte in text]}
    reply = of_vllm(request)
    if "choices" in reply:
        text = _written(body["prompt"])
        if text.rfind(b"<think>") > text.rfind(b"</think>"):
            told = [None, *({str(t): {"logprob": -9.0}} for t in body["prompt"][1:])]
            reply["choices"][0]["prompt_logprobs"] = told
    return reply


def _written(tokens: list[int]) -> bytes:
    return bytes(0 if token == END else token for token in tokens)


def telling(answer: str = "banana") -> FaultyServer:
    """One whose answers are all the same."""
    return FaultyServer(lambda request: answer, other=of_vllm)


class Thinking(FaultyServer):
    """One that thinks before it answers, and tells both apart."""

    def __init__(self) -> None:
        super().__init__(other=of_thinking)

    def _steps(self, request: Request) -> Sequence[Step]:
        if request.path.endswith("/chat/completions"):
            return json_reply("\n\nbanana", message={"reasoning": "Fruit it is."})
        return super()._steps(request)
