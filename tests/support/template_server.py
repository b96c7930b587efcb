"""A loopback server that renders real chat templates, as vLLM or as llama.cpp would show them.

Its tokens are byte-level, a word or a control token each: enough to be written out and read back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from assistants.assistant import Assistant
from assistants.clients import OpenAIClient
from assistants.messages import Message
from assistants.personas import Persona
from assistants.runs.audit import Auditor, AuditResult
from support.faulty_replies import Step, http, json_reply
from support.faulty_server import FaultyServer, Request, at

TEMPLATES = Path(__file__).parents[1] / "on_vllm" / "templates"
VERDICTS: dict[str, str] = json.loads((TEMPLATES / "verdicts.json").read_text(encoding="utf-8"))
"""What is to be found out about each of the templates, with a persona of several lines."""

CONTROL = re.compile(
    r"(<[|｜][^<>\s]{1,40}[|｜]>|</?s>|<bos>|<(?:start|end)_of_turn>|\[/?(?:INST|SYSTEM_PROMPT)\])"
)
_WORD = re.compile(r" ?\w+|\s+|[^\w\s]+")


def template(name: str) -> str:
    """Return the template of that name."""
    return (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")


class TemplateServer(FaultyServer):
    """Serves one template; ``kind`` says which server's way of showing it is spoken."""

    def __init__(
        self, source: str, kind: str = "vllm", *, byte_level: bool = True, longest: int = 4096
    ) -> None:
        super().__init__()
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _refuse
        self.template = environment.from_string(source)
        self.kind = kind
        self.byte_level = byte_level
        self.longest = longest
        self.ids: dict[str, int] = {}

    def rendered(self, messages: Any) -> str:
        return str(self.template.render(messages=messages, add_generation_prompt=True))

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def _steps(self, request: Request) -> Sequence[Step]:
        if request.path.startswith("/rude/"):
            return super()._steps(request)
        try:
            return self._answered(request)
        except jinja2.TemplateError as error:
            said = {"error": {"message": str(error), "type": "BadRequestError", "code": 400}}
            return [http(json.dumps(said).encode(), "400 Bad Request")]

    def _answered(self, request: Request) -> Sequence[Step]:
        body = request.json
        if request.path.endswith("/chat/completions"):
            text = self.rendered(body["messages"])
            usage = {"prompt_tokens": len(pieces_of(text)), "completion_tokens": 1}
            return json_reply("Yes.", usage=usage, model=body["model"])
        if request.path == "/tokenize" and self.kind == "vllm" and "messages" in body:
            pieces = pieces_of(self.rendered(body["messages"]))
            shown = [written(piece) if self.byte_level else f"?{piece}" for piece in pieces]
            tokens = [self.ids.setdefault(piece, len(self.ids)) for piece in pieces]
            said = {"count": len(tokens), "max_model_len": self.longest, "tokens": tokens}
            return _json(said | {"token_strs": shown})
        if request.path == "/detokenize" and self.kind == "vllm":
            texts = {number: piece for piece, number in self.ids.items()}
            return _json({"prompt": "".join(texts[token] for token in body["tokens"])})
        if request.path == "/apply-template" and self.kind == "llama":
            return _json({"prompt": self.rendered(body["messages"])})
        if request.path == "/tokenize" and self.kind == "llama":
            pieces = pieces_of(body.get("content", ""))
            return _json({"tokens": [{"id": 0, "piece": piece} for piece in pieces]})
        return [http(b'{"detail":"Not Found"}', "404 Not Found")]


def pieces_of(text: str) -> list[str]:
    """Return the tokens of a text."""
    parts = CONTROL.split(text)
    return [
        piece
        for place, part in enumerate(parts)
        for piece in ([part] if place % 2 else _WORD.findall(part))
    ]


def written(piece: str) -> str:
    """Return a token as byte-level tokenizers write it."""
    if CONTROL.fullmatch(piece):
        return piece
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    raw = piece.encode("utf-8", "replace")
    return "".join(chr(b) if b in plain else chr(256 + others.index(b)) for b in raw)


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


def _json(value: Any) -> Sequence[Step]:
    return [http(json.dumps(value).encode())]


async def audited(
    server: TemplateServer, text: str | None, conversation: Sequence[Message], **more: Any
) -> AuditResult:
    """Return the audit of a persona with this text."""
    client = OpenAIClient("vllm:m", endpoint=at(server.url))
    try:
        return await Auditor(conversation).audit(Assistant(Persona("p", text), client, **more))
    finally:
        await client.aclose()
