"""A loopback server that tells log-probabilities, as vLLM does, of a model that anybody can follow.

Its tokens are the bytes of a text, and 256 ends a message. Each token of an answer costs half a
nat, and two more where the system message lacks the sentence that the answer needs.
"""

from __future__ import annotations

from typing import Any

from rude_server import Request, RudeServer

END = 256
NEEDED = "Say banana."
"""While the persona has this sentence, answers are likely."""


def rendered(messages: list[dict[str, str]], asked: bool) -> list[int]:
    tokens: list[int] = []
    for message in messages:
        tokens += [*f"<{message['role']}>{message['content']}".encode(), END]
    return [*tokens, *b"<assistant>"] if asked else tokens


def of_vllm(request: Request) -> dict[str, Any]:
    """What vLLM's ``/tokenize`` and ``/completions`` say."""
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


def telling(answer: str = "banana") -> RudeServer:
    """One whose answers are all the same."""
    return RudeServer(lambda request: answer, other=of_vllm)
