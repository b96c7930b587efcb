"""Values exchanged between a person, an assistant and a model; all frozen."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self, get_args

from assistants.errors import AssistantsError, CallError, FileError, nearest
from assistants.utils import notebook_html, pluralize, truncate_line

Role = Literal["system", "user", "assistant"]

Status = Literal[
    "ok", "length", "refusal", "content_filter", "empty", "reasoning_limit", "truncated", "error"
]
"""Outcome of a trial. The first five are replies a model finished; the others are failures.

``reasoning_limit`` is a reply of which reasoning used the whole cap on tokens.
"""

FINISHED: frozenset[Status] = frozenset({"ok", "length", "refusal", "content_filter", "empty"})
"""Statuses of a complete reply, which is stored and never asked for again."""

AVERAGED: frozenset[Status] = frozenset({"ok", "length"})
"""Statuses that count in averages by default."""

_FLOATS = ("temperature", "top_p", "min_p", "frequency_penalty", "presence_penalty")
_WHOLE = ("max_tokens", "seed", "top_k")
_TEXTS = ("reasoning_effort", "verbosity")
_TABLES = ("response_format", "extra")
_NOT_EXTRA = frozenset(
    {"model", "messages", "stream", "stream_options", "n", "max_completion_tokens"}
)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str

    def __repr__(self) -> str:
        # A system prompt is long, and may be somebody's secret: a line says how long it is.
        content = (
            pluralize(len(self.content.split()), "word")
            if self.role == "system"
            else repr(truncate_line(self.content, 60))
        )
        return truncate_line(f"Message({self.role!r}: {content})", 120)

    def _repr_html_(self) -> str:
        return notebook_html(self)


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters of a request. ``None`` leaves a setting to the server.

    The names are those of OpenAI's chat completions; ``top_k`` and ``min_p`` are known to vLLM and
    llama.cpp. ``reasoning_effort`` and ``verbosity`` are words that the model's provider defines.
    ``extra`` is passed through: more keys of the request's body, as JSON values. ``repeat`` is the
    index of the draw, from 0. It is not sent; it tells draws of one request apart.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    response_format: Mapping[str, Any] = field(default_factory=dict, hash=False)
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    repeat: int = 0

    def __post_init__(self) -> None:
        _in_range("temperature", self.temperature, 0, 2)
        _in_range("top_p", self.top_p, 0, 1)
        _in_range("max_tokens", self.max_tokens, 1, None)
        _in_range("frequency_penalty", self.frequency_penalty, -2, 2)
        _in_range("presence_penalty", self.presence_penalty, -2, 2)
        _in_range("min_p", self.min_p, 0, 1)
        _in_range("repeat", self.repeat, 0, None)
        for name in _WHOLE:
            if type(getattr(self, name)) not in (int, type(None)):
                raise ValueError(f"{name} must be a whole number, not {getattr(self, name)!r}.")
        for name in _TEXTS:
            value = getattr(self, name)
            if value is not None and not (isinstance(value, str) and value):
                raise ValueError(f"{name} must be a word, not {value!r}.")
        for name in _TABLES:
            _check_table(name, getattr(self, name))
        if not all(isinstance(stop, str) and stop for stop in self.stop):
            raise ValueError(f"stop must be texts, not {list(self.stop)!r}.")
        for name in _FLOATS:  # 1 and 1.0 are one temperature, and make one key
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, float(value))

    def __repr__(self) -> str:
        known = self.as_dict() | ({"repeat": self.repeat} if self.repeat else {})
        settings = ", ".join(f"{name}={value!r}" for name, value in known.items())
        return truncate_line(f"Sampling({settings})", 120)

    def with_defaults(self, defaults: Sampling) -> Sampling:
        """Return these settings, with those of ``defaults`` where they are not set."""
        own = {k: v for k, v in _items(self) if v != getattr(_UNSET, k)}
        return replace(defaults, **own)

    def without(self, names: Collection[str]) -> Sampling:
        """Return these settings with those named left to the server; keys of ``extra`` too."""
        known = {name: getattr(_UNSET, name) for name in names if name in _NAMES}
        extra = {k: v for k, v in self.extra.items() if k not in names}
        return replace(self, **{"extra": extra, **known})

    def for_repeat(self, repeat: int) -> Sampling:
        """Return the settings of one draw, with a seed of its own.

        A fixed seed would make every repeat a copy of the first.
        """
        seed = None if self.seed is None else self.seed + repeat
        return replace(self, seed=seed, repeat=repeat)

    def as_dict(self) -> dict[str, Any]:
        """Return the settings that are set, as JSON values, without ``repeat``."""
        return {
            k: list(v) if isinstance(v, tuple) else v
            for k, v in _items(self)
            if k != "repeat" and v != getattr(_UNSET, k)
        }


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts from the server; ``None`` where it reported none."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's reply to one request.

    Times are seconds since the request was sent. ``first_token_s`` is ``None`` for a reply that
    was not streamed. ``served_model`` is the server's name of the model that answered, and
    ``system_fingerprint`` of what it ran on. ``note`` says what was sent otherwise than asked for.
    """

    text: str
    status: Status = "ok"
    finish_reason: str | None = None
    reasoning: str | None = None
    usage: Usage = field(default_factory=Usage)
    served_model: str | None = None
    started_at: str = ""
    first_token_s: float | None = None
    total_s: float | None = None
    system_fingerprint: str | None = None
    note: str | None = None

    def __repr__(self) -> str:
        tokens = self.usage.output_tokens
        facts = [self.status] if tokens is None else [self.status, pluralize(tokens, "token")]
        return truncate_line(
            f"Completion({', '.join(facts)}: {truncate_line(self.text, 60)!r})", 120
        )

    def _repr_html_(self) -> str:
        return notebook_html(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the completion as JSON values; ``from_dict`` reads them."""
        data = dict(_items(self))
        data["usage"] = {k: v for k, v in _items(self.usage) if v is not None}
        return {k: v for k, v in data.items() if v is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Undo ``as_dict``.

        Raises
        ------
        TypeError
            For an unknown key, an unknown status, or a ``text`` that is not text.
        """
        if not isinstance(data.get("text"), str) or data.get("status") not in get_args(Status):
            raise TypeError("a completion needs a `text` and a known `status`")
        return cls(**{**data, "usage": Usage(**data.get("usage", {}))})


@dataclass(frozen=True, slots=True)
class SideCall:
    """A call that a technique made to a model of its own, and what that model answered."""

    model: str
    completion: Completion


@dataclass(frozen=True, slots=True)
class TechniqueRecord:
    """A record of what a technique did to one question.

    ``facts`` are JSON values that the technique defines: passages, a rewrite, a summary.
    ``failure`` says why the question went on without it.
    """

    technique: str
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)
    calls: tuple[SideCall, ...] = ()
    failure: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON values; ``from_dict`` reads them."""
        calls = [{"model": c.model, "completion": c.completion.as_dict()} for c in self.calls]
        data = {**dict(_items(self)), "facts": dict(self.facts), "calls": calls}
        return {k: v for k, v in data.items() if v not in (None, [], {})}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Undo ``as_dict``.

        Raises
        ------
        TypeError
            For an unknown key, or a call that is none.
        """
        calls = tuple(
            SideCall(call["model"], Completion.from_dict(call["completion"]))
            for call in data.get("calls", [])
        )
        return cls(**{**data, "calls": calls})


@dataclass(frozen=True, slots=True)
class Transcript:
    """A whole conversation as it was sent, system message first, and the reply to it.

    ``techniques`` are records of what each technique did to the last question.
    """

    messages: tuple[Message, ...]
    completion: Completion
    techniques: tuple[TechniqueRecord, ...] = ()

    def __str__(self) -> str:
        return self.completion.text

    def __repr__(self) -> str:
        count = pluralize(len(self.messages), "message")
        return truncate_line(f"Transcript({count}, then {self.completion!r})", 120)

    def _repr_html_(self) -> str:
        return notebook_html(self)


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of a streamed reply."""

    text: str = ""
    reasoning: str = ""


def _items(value: Any) -> list[tuple[str, Any]]:
    return [(f.name, getattr(value, f.name)) for f in fields(value)]


def sampling_from(settings: Mapping[str, Any], where: str) -> Sampling:
    """Return decoding settings as a file writes them.

    Raises
    ------
    FileError
        For an unknown setting or a value out of range.
    """
    for key in settings:
        if key not in _NAMES:
            raise FileError(where, f"unknown setting {key!r}.", fix=nearest(key, _NAMES))
    values = dict(settings)
    stop = values.get("stop") or ()
    try:
        values["stop"] = (stop,) if isinstance(stop, str) else tuple(stop)
        return Sampling(**values)
    except (TypeError, ValueError) as error:
        raise FileError(where, str(error)) from None


def _check_table(name: str, value: object) -> None:
    """Raise unless ``value`` is a JSON object that a request's body may hold."""
    if value == {}:
        return
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name} must be a table of keys, not {value!r}.")
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold JSON values: {error}.") from None
    taken = sorted((_NOT_EXTRA | _NAMES) & value.keys()) if name == "extra" else []
    if taken:
        raise ValueError(f"extra cannot set {taken[0]!r}: it has a place of its own.")


def _in_range(name: str, value: float | None, low: float, high: float | None) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} must be a number, not {value!r}.")
    if not value >= low or (high is not None and value > high):
        span = f"between {low} and {high}" if high is not None else f"at least {low}"
        raise ValueError(f"{name} must be {span}, not {value!r}.")


def partial_completion(error: AssistantsError) -> Completion | None:
    """Return what had arrived of a reply before its call failed."""
    partial = error.partial if isinstance(error, CallError) else None
    return partial if isinstance(partial, Completion) else None


_NAMES = frozenset(f.name for f in fields(Sampling) if f.name != "repeat")
_UNSET = Sampling()
