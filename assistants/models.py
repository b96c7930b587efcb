"""The catalogue of models: names, addresses, API keys, and prices.

Costs are in US dollars. An unknown cost is ``None``, never 0.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from assistants.errors import FileError, PluginError, UnknownNameError, UsageError
from assistants.messages import Sampling, Usage, sampling_from
from assistants.utils import (
    Document,
    Plugin,
    PluginGroup,
    StrictModel,
    check_url,
    display_path,
    is_loopback,
    parse_toml,
    pluralize,
    read_text,
    truncate_line,
    validate,
)

PACKAGED = Path(__file__).with_name("models.toml")
IN_PROCESS = ("local", "scripted", "vllm-offline")
"""Providers that need no server of their own."""

SystemRole = Literal["system", "developer", "user"]

_KEY_NAME = re.compile(r"[A-Z][A-Z0-9_]*_(API_KEY|TOKEN)")


class Prices(StrictModel):
    """Prices in US dollars per million tokens; ``cached`` is the price of cached input tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached: float | None = Field(default=None, ge=0)


class Provider(StrictModel):
    """A server, or a service, that speaks the OpenAI protocol."""

    address: str
    address_from: str | None = None
    key: str | None = None
    key_optional: bool = False
    concurrency: int = Field(default=8, ge=1, le=4096)
    max_concurrency: int | None = Field(default=None, ge=1, le=4096)
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    max_tokens_field: str = "max_tokens"
    prices: Prices | None = None
    batch_discount: float | None = Field(default=None, ge=0, le=1)
    """The part of the price that a batch saves; ``None`` where there are no batches."""
    ignores: tuple[str, ...] = ()
    """Parameters that are sent, and not known to be applied."""

    @field_validator("address")
    @classmethod
    def _address_is_usable(cls, address: str) -> str:
        try:
            return check_url(address) if address else ""
        except UsageError as error:
            raise ValueError(str(error)) from None

    @field_validator("key")
    @classmethod
    def _key_is_a_name(cls, key: str | None) -> str | None:
        if key is not None and not _KEY_NAME.fullmatch(key):
            raise ValueError("the name of an environment variable that ends in _API_KEY or _TOKEN")
        return key


class ModelEntry(StrictModel):
    """The model behind a short name, and the settings that differ from its provider's.

    An entry may also be called ``provider:id`` itself; then it holds for every name of the model.
    """

    model: str
    concurrency: int | None = Field(default=None, ge=1, le=4096)
    max_concurrency: int | None = Field(default=None, ge=1, le=4096)
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    prices: Prices | None = None
    sampling: dict[str, Any] = Field(default_factory=dict)
    system_role: SystemRole | None = None
    ends: date | None = None
    reasons: bool = False
    refuses: tuple[str, ...] = ()

    @field_validator("sampling")
    @classmethod
    def _sampling_is_usable(cls, settings: dict[str, Any]) -> dict[str, Any]:
        try:
            sampling_from(settings, "")
        except FileError as error:
            raise ValueError(str(error).removeprefix(": ")) from None
        return settings


class _ModelsFile(StrictModel):
    providers: dict[str, Provider] = Field(default_factory=dict)
    models: dict[str, ModelEntry] = Field(default_factory=dict)

    @field_validator("models", mode="before")
    @classmethod
    def _a_text_is_a_model(cls, models: Any) -> Any:
        if not isinstance(models, Mapping):
            return models
        entries = {k: {"model": v} if isinstance(v, str) else v for k, v in models.items()}
        return {
            k: {"model": k, **v} if ":" in k and isinstance(v, Mapping) else v
            for k, v in entries.items()
        }


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be called. ``server`` is ``None`` for one that needs no server.

    Attributes
    ----------
    sampling
        Settings where neither a persona nor an assistant has its own.
    system_role
        The role of a message with the system prompt; ``user`` puts it into the first question.
    ends
        The day on which the provider switches the model off.
    reasons
        Whether it reasons unless told otherwise, which counts towards ``max_tokens``.
    refuses
        Parameters that it is thought to refuse: a hint, which decides nothing.
    max_concurrency
        The most calls in flight; ``None`` where the server's own bound is not known.
    requests_per_minute, tokens_per_minute
        Caps that were set here, whatever the server allows.
    plugin
        What its provider came with, if that is another package.
    """

    name: str
    server: Provider | None = None
    concurrency: int | None = None
    prices: Prices | None = None
    sampling: Sampling = field(default_factory=Sampling)
    system_role: SystemRole = "system"
    ends: date | None = None
    reasons: bool = False
    refuses: frozenset[str] = frozenset()
    max_concurrency: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    plugin: Plugin | None = None

    def __repr__(self) -> str:
        return truncate_line(f"Model({truncate_line(self.name, 100)!r})", 120)

    @property
    def provider(self) -> str:
        """The part before the colon."""
        return self.name.partition(":")[0]

    @property
    def is_free(self) -> bool:
        """True if calls are known to cost nothing."""
        return self.prices is not None and not self.prices.input and not self.prices.output

    @property
    def is_self_hosted(self) -> bool:
        """True if its server is the user's own: one is known, and it needs no API key."""
        return self.server is not None and (self.server.key is None or self.server.key_optional)

    @property
    def batch_discount(self) -> float | None:
        """The part of the price that a batch saves; ``None`` if its provider takes none."""
        return self.server.batch_discount if self.server is not None else None

    @property
    def id(self) -> str:
        """The part after the colon: the provider's name for the model."""
        return self.name.partition(":")[2]


@dataclass(frozen=True)
class Catalogue:
    """Providers and short names from the package, the project and the user; later files win."""

    providers: dict[str, Provider]
    models: dict[str, ModelEntry]
    sources: dict[str, str] = field(default_factory=dict)
    key_hosts: dict[str, set[str]] = field(default_factory=dict)
    """Hosts that the package and the user have bound each key to."""

    def __repr__(self) -> str:
        providers = pluralize(len(self.providers), "provider")
        return f"Catalogue({providers}, {pluralize(len(self.models), 'short name')})"

    @classmethod
    def default(cls) -> Catalogue:
        """Read the ``models.toml`` of the package, of the working directory, and of the user."""
        return cls.read([PACKAGED, Path("models.toml"), user_file()])

    @classmethod
    def read(cls, paths: Sequence[Path]) -> Catalogue:
        """Read and merge those of ``paths`` that exist.

        Raises
        ------
        FileError
            For a mistake in a file, and for a project file that sends a key to a host that
            neither the package nor the user has bound the key to. Otherwise a cloned repository
            could collect keys.
        """
        catalogue = cls({}, {}, {})
        trusted = {PACKAGED, user_file()}
        bound = catalogue.key_hosts
        files = [
            (path, *_parsed(read_text(path), display_path(path)))
            for path in paths
            if path.is_file()
        ]
        for path, _, content in files:
            for provider in content.providers.values():
                if path in trusted and provider.key is not None:
                    bound.setdefault(provider.key, set()).add(_origin(provider))
        for path, document, content in files:
            for name, provider in content.providers.items():
                if path not in trusted:
                    _check_binding(name, provider, bound, document)
                catalogue.providers[name] = provider
                catalogue.sources[f"{name}:"] = document.source
            for name, entry in content.models.items():
                catalogue.models[name] = entry
                catalogue.sources[name] = document.source
        return catalogue

    def find(self, name: str, *, where: str = "") -> Model:
        """Return the model that a short name or a ``provider:id`` stands for.

        Raises
        ------
        UnknownNameError
            With the nearest known names and with ``where``, the place the name was written.
        """
        entry = self.models.get(name, ModelEntry(model=name))
        if entry.model != name:
            where = f"{self.sources.get(name, 'models.toml')}: {name}"
        provider, colon, identifier = entry.model.partition(":")
        if not colon or not identifier:
            known = [short_name for short_name in self.models if short_name != name]
            raise UnknownNameError("model", entry.model, [*known, "provider:id"], where=where)
        server = None if provider in IN_PROCESS else self.providers.get(provider)
        plugin = None
        if server is None and provider not in IN_PROCESS:
            plugin = PROVIDER_PLUGINS.find(provider)
            if plugin is None:
                names = [*self.providers, *IN_PROCESS, *PROVIDER_PLUGINS.usable()]
                raise UnknownNameError("provider", provider, names, where=where)
            with suppress(PluginError):  # `connect` says so: a list of models needs no provider
                server = plugin_server(plugin, self)
        return _model(server, plugin, entry, self.models.get(entry.model, entry))


def plugin_server(plugin: Plugin, catalogue: Catalogue) -> Provider | None:
    """Return the server that a plug-in describes, or ``None`` if it builds clients of its own.

    Raises
    ------
    PluginError
        If it is neither, or would send a key to a host that the key is not bound to.
    """
    content = plugin.load()
    if not isinstance(content, Provider):
        plugin.load_function()
        return None
    owners = catalogue.key_hosts.get(content.key or "", set())
    if owners and _origin(content) not in owners:
        raise plugin.error(
            f"it would send {content.key} to {_origin(content)}, and that key belongs to "
            f"{' and '.join(sorted(owners))}"
        )
    return content


PROVIDER_PLUGINS = PluginGroup(
    kind="provider",
    group="assistants.clients",
    built_in=lambda: [*IN_PROCESS, *Catalogue.read([PACKAGED]).providers],
    check=lambda plugin: plugin_server(plugin, Catalogue.default()),
)
"""Providers of other packages: a ``Provider``, or a function that builds a client."""


def _model(
    server: Provider | None, plugin: Plugin | None, entry: ModelEntry, general: ModelEntry
) -> Model:
    """Return the model of an entry, with what the entry called ``provider:id`` says beside it."""
    in_process = Prices(input=0, output=0) if plugin is None else None
    usual_prices = in_process if server is None else server.prices
    own = sampling_from(entry.sampling, entry.model)
    return Model(
        entry.model,
        server,
        entry.concurrency or general.concurrency,
        entry.prices or general.prices or usual_prices,
        sampling=own.with_defaults(sampling_from(general.sampling, entry.model)),
        system_role=entry.system_role or general.system_role or "system",
        ends=entry.ends or general.ends,
        reasons=entry.reasons or general.reasons,
        refuses=frozenset(entry.refuses) | frozenset(general.refuses),
        max_concurrency=_cap("max_concurrency", entry, general, server),
        requests_per_minute=_cap("requests_per_minute", entry, general, server),
        tokens_per_minute=_cap("tokens_per_minute", entry, general, server),
        plugin=plugin,
    )


def _cap(name: str, *entries: ModelEntry | Provider | None) -> int | None:
    """Return the first of the entries' own caps, so that a model's goes before its provider's."""
    return next((cap for entry in entries if (cap := getattr(entry, name, None))), None)


def user_file() -> Path:
    """Return the path of the user's own ``models.toml``."""
    import platformdirs

    return platformdirs.user_config_path("assistants") / "models.toml"


def base_url(server: Provider) -> str:
    """Return the base URL, as the environment sets it now."""
    override = os.environ.get(server.address_from, "").strip() if server.address_from else ""
    return override or server.address


@lru_cache(maxsize=16)  # the package's own is read for each experiment
def _parsed(text: str, source: str) -> tuple[Document, _ModelsFile]:
    document = parse_toml(text, source)
    return document, validate(_ModelsFile, document)


def _origin(provider: Provider) -> str:
    parts = urlsplit(provider.address)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _check_binding(
    name: str, provider: Provider, bound: Mapping[str, set[str]], document: Document
) -> None:
    if provider.key is None:
        return
    owners = bound.get(provider.key, set())
    if _origin(provider) in owners:
        return
    if not owners and is_loopback(urlsplit(provider.address).hostname or ""):
        return
    owner_note = f"That key belongs to {' and '.join(sorted(owners))}. " if owners else ""
    raise FileError(
        document.source,
        f"provider {name!r} would send {provider.key} to {_origin(provider)}.",
        fix=f"{owner_note}If you want that, add the entry to your own {display_path(user_file())}.",
    )


def total_cost(costs: Iterable[float | None]) -> float | None:
    """Return the dollars of several calls; ``None`` if those of one are unknown."""
    known = list(costs)
    return None if None in known else sum(cost for cost in known if cost is not None)


def call_cost(model: Model, usage: Usage) -> float | None:
    """Return the US dollars of one completion, by the model's own prices or the offline table."""
    if usage.input_tokens is None or usage.output_tokens is None:
        return 0.0 if model.is_free else None
    if model.prices is not None:
        cached = min(usage.cached_tokens or 0, usage.input_tokens)
        price = model.prices
        cached_price = price.input if price.cached is None else price.cached
        dollars = (
            (usage.input_tokens - cached) * price.input
            + cached * cached_price
            + usage.output_tokens * price.output
        )
        return dollars / 1e6
    return _table_cost(model.provider, model.id, usage)


def batch_cost(model: Model, usage: Usage) -> float | None:
    """Return the US dollars of one completion that comes by batch."""
    cost = call_cost(model, usage)
    return cost if cost is None else cost * (1 - (model.batch_discount or 0.0))


def is_cost_known(model: Model) -> bool:
    """Return whether the cost of a call can be computed."""
    return call_cost(model, Usage(input_tokens=1, output_tokens=1)) is not None


def _table_cost(provider: str, model_id: str, usage: Usage) -> float | None:
    return _cached_table_cost(
        provider, model_id, usage.input_tokens, usage.output_tokens, usage.cached_tokens
    )


@lru_cache(maxsize=4096)
def _cached_table_cost(
    provider: str, model_id: str, inputs: int | None, outputs: int | None, cached: int | None
) -> float | None:
    from genai_prices import Usage as ListedUsage
    from genai_prices import calc_price

    listed = ListedUsage(input_tokens=inputs, output_tokens=outputs, cache_read_tokens=cached)
    try:
        return float(calc_price(listed, model_ref=model_id, provider_id=provider).total_price)
    except (LookupError, ValueError):  # unknown provider or model, or usage without a price
        return None
