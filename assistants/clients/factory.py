"""Builds a client from the name of a model."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from assistants.clients.base import Client
from assistants.clients.rate_limits import Quota, RateLimits
from assistants.clients.vllm import registry
from assistants.errors import MissingAddressError
from assistants.models import PACKAGED, Catalogue, Model, Provider, base_url, plugin_server
from assistants.utils import Address, Endpoint, api_keys

__all__ = ["Client", "connect"]


def connect(
    model: str | Model, *, catalogue: Catalogue | None = None, folder: str | Path = ""
) -> Client:
    """Build a client for ``provider:id`` or a short name of ``models.toml``.

    The client opens no connection and reads no API key before its first call. The path of a
    script (``scripted:answers.yaml``) or of weights (``vllm-offline:weights``,
    ``local:model.gguf``) is relative to ``folder``.

    Raises
    ------
    UsageError
        If the name is unknown.
    PluginError
        If its provider is a plug-in that is broken.
    """
    if isinstance(model, str):
        model = (catalogue or Catalogue.default()).find(model)
    if model.provider == "scripted":
        from assistants.clients.scripted import build_scripted_client

        return build_scripted_client(model.id, Path(folder), model.sampling)
    if model.provider == "local":
        from assistants.clients.llamacpp.client import build_local_client

        return build_local_client(model.id, model.sampling, Path(folder))
    if model.provider == "vllm-offline":
        from assistants.clients.vllm.offline_client import offline_client

        return offline_client(model.id, Path(folder), model.sampling)
    name, server = model.name, model.server
    if server is None and model.plugin is not None:
        server = plugin_server(model.plugin, catalogue or Catalogue.default())
        if server is None:
            from assistants.clients.plugins import connect_plugin

            return connect_plugin(model.plugin, model)
    assert server is not None
    suffix = "+developer" if model.system_role == "developer" else ""
    from assistants.clients.openai.client import OpenAIClient
    from assistants.clients.openai.transport import MAX_CONNECTIONS

    return OpenAIClient(
        name,
        endpoint=endpoint(name, server),
        identity=lambda: _identity(name, server) + suffix,
        max_concurrency=model.max_concurrency or MAX_CONNECTIONS,
        start_concurrency=model.concurrency or server.concurrency,
        rate_caps=_rate_caps(model),
        default_sampling=model.sampling,
        max_tokens_field=server.max_tokens_field,
        system_role="developer" if model.system_role == "developer" else "system",
    )


def _rate_caps(model: Model) -> RateLimits | None:
    requests, tokens = model.requests_per_minute, model.tokens_per_minute
    if requests is None and tokens is None:
        return None
    return RateLimits(
        None if requests is None else Quota(requests), None if tokens is None else Quota(tokens)
    )


def endpoint(name: str, server: Provider) -> Endpoint:
    """Return a function that looks up the address and the API key of ``server`` at each call.

    A server that ``assistants serve`` started is found by the name of its model, unless a file or
    the environment gives another address.
    """

    async def address() -> Address:
        if _may_be_registered(name, server):
            record = registry.find_by_model(name.partition(":")[2])
            if record is not None:
                return record.address
        url = base_url(server)
        if not url:
            raise MissingAddressError(name, server.address_from or "")
        return Address(url, _read_key(name, server))

    return address


def _read_key(name: str, server: Provider) -> str | None:
    if server.key is None or (server.key_optional and not os.environ.get(server.key)):
        return None
    return api_keys.read_key(server.key, name)


def _may_be_registered(name: str, server: Provider) -> bool:
    """Return whether the model may run on a server that ``assistants serve`` started."""
    is_vllm = name.partition(":")[0] == registry.PROVIDER
    return is_vllm and base_url(server) == registry.DEFAULT_URL


def _identity(name: str, server: Provider) -> str:
    """Return the model's part of an answer's key.

    For a hosted model the address counts if it is not the package's own: the same name may stand
    for another model there. A local server moves from port to port and its model is named after
    the weights, so only the name counts; for a server that was started here, also its options.
    """
    if _may_be_registered(name, server):
        variant = registry.model_variant(name.partition(":")[2])
        return f"{name}@{variant}" if variant else name
    if server.key is None or server.key_optional:
        return name
    address = base_url(server)
    return (
        name
        if address == _packaged_addresses().get(name.partition(":")[0])
        else f"{name}@{address}"
    )


@lru_cache(maxsize=1)
def _packaged_addresses() -> dict[str, str]:
    """Return the addresses of the providers that come with the package."""
    packaged = Catalogue.read([PACKAGED]).providers
    return {name: server.address for name, server in packaged.items()}
