"""Model families in November 2026, OpenAI's and others': what each takes, refuses and ignores.

``FAMILIES`` is the table, by the name that a request gives; ``refuse`` says no as the host does.
Hosts word their refusals anew from time to time, and so does this one from request to request:
``code`` and ``param`` are what a client may go by.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

REASONING_TOKENS = {
    "none": 0, "minimal": 32, "low": 128, "medium": 640, "high": 2048, "xhigh": 4096, "max": 8192,
}  # fmt: skip
"""Tokens of reasoning before an answer, by effort."""

DEFAULTS: Mapping[str, Any] = {
    "temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0,
    "logprobs": False, "top_logprobs": 0,
}  # fmt: skip
"""Parameters that a reasoning model takes at these values only."""

KNOWN = frozenset(
    {
        "model", "messages", "max_tokens", "max_completion_tokens", "seed", "stop", "stream",
        "stream_options", "reasoning_effort", "verbosity", "response_format", "n", "user", "store",
        "metadata", "service_tier", "tools", "tool_choice", "logit_bias", "prompt_cache_key",
        "safety_identifier", *DEFAULTS,
    }
)  # fmt: skip
"""Parameters of OpenAI's chat completions."""


@dataclass(frozen=True)
class Family:
    """A model, and what becomes of each parameter there.

    Parameters
    ----------
    model, snapshot
        The name that is asked for, and the one that the reply gives.
    host
        ``openai``, ``deepseek``, ``anthropic``, ``gemini`` or ``openrouter``: the form of errors.
    efforts
        Values that ``reasoning_effort`` may have; with none, the parameter itself is refused.
    effort
        The value without one.
    caps
        Names that the cap on answer tokens may have.
    refuses
        Parameters refused at any value.
    refuses_as
        The code of a parameter refused for reasoning, where it is another than
        ``unsupported_parameter``.
    ignores
        Parameters taken without an effect.
    passes
        Parameters taken that are not OpenAI's.
    roles
        Roles that a message may have.
    joins_system
        Every system and developer message becomes part of one at the front.
    highest_temperature
        A temperature above becomes this one.
    verbosities
        Values that ``verbosity`` may have; with none, the parameter itself is refused.
    streams_for
        ``anybody``, or only ``verified`` organisations.
    """

    model: str
    snapshot: str
    host: str = "openai"
    efforts: tuple[str, ...] = ()
    effort: str = "none"
    caps: frozenset[str] = frozenset({"max_completion_tokens"})
    refuses: frozenset[str] = frozenset()
    refuses_as: Mapping[str, str] = field(default_factory=dict)
    ignores: frozenset[str] = frozenset()
    passes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset({"system", "developer", "user", "assistant"})
    joins_system: bool = False
    highest_temperature: float = 2.0
    verbosities: tuple[str, ...] = ("medium",)
    streams_for: str = "anybody"

    def reasoning_tokens(self, body: Mapping[str, Any]) -> int:
        """Return how many tokens of reasoning a request costs."""
        sent = None if "reasoning_effort" in self.ignores else body.get("reasoning_effort")
        return REASONING_TOKENS[sent or self.effort]

    def cap(self, body: Mapping[str, Any]) -> int | None:
        """Return the cap on answer tokens that a request names."""
        return next((body[name] for name in sorted(self.caps) if body.get(name) is not None), None)

    def apply(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the request as the model gets it: without what is ignored, clamped and joined."""
        applied = {k: v for k, v in body.items() if k not in self.ignores and v is not None}
        if "temperature" in applied:
            applied["temperature"] = min(applied["temperature"], self.highest_temperature)
        if self.joins_system:
            parts = {True: [], False: []}  # type: dict[bool, list[dict[str, Any]]]
            for message in body["messages"]:
                parts[message["role"] in ("system", "developer")].append(message)
            text = "\n".join(text_of(message) for message in parts[True])
            first = [{"role": "system", "content": text}] if parts[True] else []
            applied["messages"] = [*first, *parts[False]]
        return applied


@dataclass(frozen=True)
class Refusal:
    """A parameter that a model does not take: the name, the code, and more for the message."""

    param: str | None
    code: str | None
    detail: str = ""
    status: int = 400

    def body(self, host: str, nth: int) -> bytes:
        """Return the error as a host writes it, in the words of its ``nth`` refusal."""
        message = _word(self, nth)
        error: dict[str, Any] = {
            "message": message,
            "type": "invalid_request_error",
            "param": self.param,
            "code": self.code,
        }
        if host == "deepseek" and self.code == "unsupported_value":
            error |= {"param": None, "code": "invalid_request_error"}
        if host == "gemini":  # a list, Google's own codes, and the name in the words alone
            kind = "type.googleapis.com/google.rpc.BadRequest"
            details = [{"@type": kind, "fieldViolations": [{"description": message}]}]
            error = {
                "code": self.status,
                "message": message,
                "status": "INVALID_ARGUMENT",
                "details": details,
            }
            return json.dumps([{"error": error}]).encode()
        if host == "openrouter":  # the error of the provider behind it, as text
            error = {
                "message": "Provider returned error",
                "code": self.status,
                "metadata": {"raw": json.dumps({"error": error}), "provider_name": "OpenAI"},
            }
            return json.dumps({"error": error, "user_id": "user_test"}).encode()
        return json.dumps({"error": error}).encode()


_WORDS: Mapping[str | None, tuple[str, ...]] = {
    "unsupported_parameter": (
        "Unsupported parameter: '{param}' is not supported with this model.{detail}",
        "'{param}' cannot be used with the requested model.{detail}",
        "This model does not accept '{param}'.{detail}",
    ),
    "unsupported_value": (
        "Unsupported value: '{param}' does not support the value given with this model.{detail}",
        "The value of '{param}' is not one that this model takes.{detail}",
        "'{param}' was given a value out of what this model offers.{detail}",
    ),
    None: (
        "Unrecognized request argument supplied: {detail}",
        "Unknown argument in the request: {detail}",
    ),
}


def _word(refusal: Refusal, nth: int) -> str:
    words = _WORDS.get(refusal.code, ("{detail}",))
    detail = refusal.detail
    if detail and refusal.code is not None:
        detail = f" {detail}"
    return words[nth % len(words)].format(param=refusal.param, detail=detail).strip()


def refuse(family: Family, body: Mapping[str, Any], *, verified: bool) -> Refusal | None:
    """Return the first thing that a model refuses about a request, or ``None``."""
    return next(_refusals(family, body, verified), None)


def _refusals(family: Family, body: Mapping[str, Any], verified: bool) -> Iterator[Refusal]:
    sent = {k: v for k, v in body.items() if v is not None and k not in family.ignores}
    for name in sorted(sent.keys() - KNOWN - family.passes):
        yield Refusal(None, None, name)
    for at, message in enumerate(sent["messages"]):
        if message["role"] not in family.roles:
            yield Refusal(f"messages[{at}].role", "unsupported_value", f"Got {message['role']}.")
    for name in ("max_tokens", "max_completion_tokens"):
        if name in sent and name not in family.caps:
            other = min(family.caps)
            yield Refusal(name, "unsupported_parameter", f"Use '{other}' instead.")
    for name in sorted(sent.keys() & family.refuses):
        yield Refusal(name, "unsupported_parameter")
    yield from _refuse_value(sent, "reasoning_effort", family.efforts)
    yield from _refuse_value(sent, "verbosity", family.verbosities)
    if family.host == "openai" and family.reasoning_tokens(sent):
        for name, default in DEFAULTS.items():
            if sent.get(name, default) != default:
                code = family.refuses_as.get(name, "unsupported_parameter")
                only = f"Only the default ({default}) value is supported."
                yield Refusal(name, code, only if code == "unsupported_value" else "")
    if sent.get("stream") and family.streams_for == "verified" and not verified:
        yield Refusal("stream", "unsupported_value", "Your organization must be verified.")


def _refuse_value(sent: Mapping[str, Any], name: str, values: tuple[str, ...]) -> Iterable[Refusal]:
    if name not in sent or sent[name] in values:
        return []
    if not values:
        return [Refusal(name, "unsupported_parameter")]
    listed = ", ".join(f"'{value}'" for value in values)
    return [Refusal(name, "unsupported_value", f"Supported values are: {listed}.")]


def text_of(message: Mapping[str, Any]) -> str:
    """Return the text of a message, whose content may come in parts."""
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


_VERBOSITIES = ("low", "medium", "high")
_STOP = frozenset({"stop"})
_BOTH_CAPS = frozenset({"max_tokens", "max_completion_tokens"})
_GPT_5 = {"refuses_as": {"temperature": "unsupported_value"}, "verbosities": _VERBOSITIES}
_GPT_6 = {**_GPT_5, "effort": "medium"}  # `stop` on them: nobody reports a refusal

_TABLE = (
    # Reasons always.
    Family(
        "o3", "o3-2025-04-16", efforts=EFFORTS[2:5], effort="medium", refuses=_STOP,
        streams_for="verified",
    ),
    Family(
        "gpt-5", "gpt-5-2025-08-07", efforts=EFFORTS[1:5], effort="medium", refuses=_STOP,
        streams_for="verified", **_GPT_5,
    ),
    Family(
        "gpt-5-mini", "gpt-5-mini-2025-08-07", efforts=EFFORTS[1:5], effort="medium",
        refuses=_STOP, streams_for="verified", **_GPT_5,
    ),
    Family(
        "gpt-6-astra", "gpt-6-astra-2026-08-11", efforts=EFFORTS[2:], streams_for="verified",
        **_GPT_6,
    ),
    # Reasons unless told not to.
    Family(
        "gpt-5.5", "gpt-5.5-2026-04-23", efforts=("none", *EFFORTS[2:6]), effort="medium",
        refuses=_STOP, streams_for="verified", **_GPT_5,
    ),
    Family(
        "gpt-6-sol", "gpt-6-sol-2026-08-11", efforts=("none", *EFFORTS[2:]),
        streams_for="verified", **_GPT_6,
    ),
    Family("gpt-6-luna", "gpt-6-luna-2026-08-11", efforts=("none", *EFFORTS[2:]), **_GPT_6),
    # Reasons when told to.
    Family(
        "gpt-5.1", "gpt-5.1-2025-11-13", efforts=("none", *EFFORTS[2:5]), refuses=_STOP,
        streams_for="verified", **_GPT_5,
    ),
    # Never reasons.
    Family("gpt-4.1", "gpt-4.1-2025-04-14", caps=_BOTH_CAPS),
    # Switched off, and kept here as the one that takes no system message at all.
    Family(
        "o1-mini", "o1-mini-2024-09-12", effort="medium", refuses=_STOP,
        roles=frozenset({"user", "assistant"}),
        refuses_as=dict.fromkeys(DEFAULTS, "unsupported_value"),
    ),
    # Hosts that speak OpenAI's protocol.
    Family(
        "deepseek-chat", "deepseek-chat", "deepseek", caps=frozenset({"max_tokens"}),
        roles=frozenset({"system", "user", "assistant"}),
        ignores=frozenset({"seed", "reasoning_effort", "verbosity"}),
    ),
    Family(
        "claude-sonnet-5", "claude-sonnet-5", "anthropic", caps=_BOTH_CAPS, joins_system=True,
        highest_temperature=1.0,
        ignores=frozenset(
            {
                "seed", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs",
                "reasoning_effort", "verbosity", "response_format", "logit_bias",
            }
        ),
    ),
    Family(
        "gemini-3-flash", "gemini-3-flash", "gemini", efforts=EFFORTS[:5], effort="low",
        caps=_BOTH_CAPS, ignores=frozenset({"verbosity"}),
        refuses=frozenset({"presence_penalty", "frequency_penalty", "logprobs", "top_logprobs"}),
        joins_system=True,
    ),
    Family(
        "openai/gpt-5-mini", "openai/gpt-5-mini", "openrouter", efforts=EFFORTS, effort="medium",
        caps=frozenset({"max_tokens"}), streams_for="verified",
        passes=frozenset({"top_k", "min_p", "provider", "reasoning"}),
        # Dropped there for a model that does not take them, unless `provider` says otherwise.
        ignores=frozenset({*DEFAULTS, "seed", "stop", "verbosity", "top_k", "min_p"}),
    ),
)  # fmt: skip

FAMILIES: Mapping[str, Family] = {family.model: family for family in _TABLE}
"""The table, by the name that a request gives."""
