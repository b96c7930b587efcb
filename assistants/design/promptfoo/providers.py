"""The providers of a configuration: models, and the sampling of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from assistants.design.promptfoo.source import Node, Source
from assistants.errors import FileError, UsageError
from assistants.messages import Sampling, sampling_from
from assistants.models import Catalogue
from assistants.utils import has_variables

_SAMPLING = {"max_completion_tokens": "max_tokens", "max_output_tokens": "max_tokens"}
"""Settings that have another name here."""

_NAMES = {"google": "gemini", "huggingface": "hf"}
_KINDS = ("chat", "responses", "messages", "completion")
"""The word between provider and model, where promptfoo has one."""

_NO_CHAT = ("embedding", "embeddings", "image", "realtime", "moderation", "completion")
_NO_MODEL = ("file", "python", "exec", "http", "https", "ws", "wss", "webhook", "javascript")

_IGNORED = ("id", "label", "delay", "cost", "inputCost", "outputCost", "config", "prompts")


@dataclass(frozen=True)
class Target:
    """A model that is asked, and its own sampling."""

    model: str
    where: str
    sampling: Mapping[str, Any] = field(default_factory=dict)


def read_providers(source: Source, config: Node, catalogue: Catalogue) -> list[Target]:
    """Return the models of ``providers:`` (or ``targets:``), each once."""
    listed = config.get("providers") or config.get("targets")
    if listed is None:
        raise FileError(config.where, "names no `providers`, so there is no model to ask.")
    found: dict[str, Target] = {}
    for entry in listed.each():
        for target in _entry(source, entry, catalogue):
            if target.model in found:
                source.lose(
                    target.where,
                    f"{target.model} a second time: with other settings it is another experiment.",
                )
            found.setdefault(target.model, target)
    return list(found.values())


def model_name(source: Source, provider: str, where: str, catalogue: Catalogue) -> str | None:
    """Return our name of a provider of promptfoo; ``None``, and a loss, if there is none."""
    name, _, rest = provider.partition(":")
    if has_variables(provider):
        source.lose(where, f"`{provider}` has variables in it; the environment is not read.")
        return None
    if provider == "echo":
        return "scripted:echo"
    kind, colon, model = rest.partition(":")
    model = model if colon and kind in _KINDS else rest
    if kind == "responses":
        source.note("`openai:responses:` is asked through chat completions here.")
    if kind in _NO_CHAT and not (name == "ollama" and kind == "completion"):
        source.lose(where, f"`{provider}` is no chat model.")
        return None
    ours = f"{_NAMES.get(name, name)}:{model}"
    if (
        name in ("file", "python", "exec", "http", "https", "ws", "webhook", "javascript")
        or not rest
    ):
        source.lose(where, f"the provider `{provider}` is a program or an address, not a model.")
        return None
    if name in ("local", "scripted", "vllm-offline"):
        source.lose(where, f"`{provider}` is no provider of promptfoo.")
        return None
    try:
        return catalogue.find(ours).name
    except UsageError:
        source.lose(
            where,
            f"`{provider}`: add [providers.{ours.partition(':')[0]}] with its `address` to "
            "models.toml and import again.",
        )
        return None


def _entry(
    source: Source, entry: Node, catalogue: Catalogue, *, in_file: bool = False
) -> list[Target]:
    data = entry.data
    if isinstance(data, str):
        is_file = data.startswith("file://") and data.endswith((".yaml", ".yml", ".json"))
        if is_file and not in_file:
            nodes = [source.read(path) for path in source.paths(data, entry.where)]
            inner = [each for node in nodes for each in node.each()]
            return [t for each in inner for t in _entry(source, each, catalogue, in_file=True)]
        name = model_name(source, data, entry.where, catalogue)
        return [Target(name, entry.where)] if name else []
    if not isinstance(data, Mapping):
        source.lose(entry.where, "a provider is a name, or has an `id`.")
        return []
    settings = entry
    if "id" not in data and len(data) == 1:  # the older form: {openai:gpt-5: {config: ...}}
        ((provider, settings),) = entry.items()
    else:
        provider = str(data.get("id") or "")
    name = model_name(source, provider, entry.where, catalogue)
    for key, node in settings.items():
        if key not in _IGNORED:
            source.lose(node.where, f"`{key}` of the provider `{provider}`.")
    if filtered := settings.get("prompts"):
        source.lose(filtered.where, f"`prompts` of `{provider}`: every model is asked all prompts.")
    sampling = _sampling(source, settings.get("config"))
    return [Target(name, entry.where, sampling)] if name else []


def _sampling(source: Source, config: Node | None) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for key, node in config.items() if config else ():
        ours = _SAMPLING.get(key, key)
        value = node.data
        if key == "reasoning" and isinstance(value, Mapping) and set(value) == {"effort"}:
            ours, value = "reasoning_effort", value["effort"]
        if ours not in Sampling.__dataclass_fields__ or ours in ("repeat", "extra"):
            # The value may be a key, so it is not shown.
            source.lose(node.where, f"the setting `{key}` of a provider.{_HINTS.get(key, '')}")
            continue
        try:
            sampling_from({ours: value}, node.where)
        except FileError as error:
            source.lose(node.where, f"{key}: {error.message.removeprefix(f'{node.where}: ')}")
            continue
        settings[ours] = value
    return settings


_HINTS = {
    "apiKey": " Keys stand in environment variables that models.toml names; it was not copied.",
    "apiBaseUrl": " Add the address to models.toml as a provider of yours.",
    "apiHost": " Add the address to models.toml as a provider of yours.",
}
