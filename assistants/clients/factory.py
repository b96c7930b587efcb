"""Clients: what turns messages into a completion. ``connect`` builds one from a model's name."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from assistants.clients.base import Client
from assistants.clients.vllm import registry
from assistants.models import PACKAGED, Catalogue, Model, Provider, base_url
from assistants.utils import Address, Endpoint, api_keys

__all__ = ["Client", "connect"]


def connect(
    model: str | Model, *, catalogue: Catalogue | None = None, folder: str | Path = ""
) -> Client:
    """A client for ``provider:id`` or a short name of ``models.toml``.

    Nothing is opened and no key is read before the first call. The path of a script
    (``scripted:answers.yaml``) or of weights (``vllm-offline:weights``) is relative to ``folder``.

    Raises
    ------
    UsageError
        If the name is unknown.
    """
    if isinstance(model, str):
        model = (catalogue or Catalogue.default()).find(model)
    if model.provider == "scripted":
        from assistants.clients.scripted import build_scripted_client

        return build_scripted_client(model.id, Path(folder))
    if model.provider == "local":
        from assistants.clients.llamacpp.client import build_local_client

        return build_local_client(model.id)
    if model.provider == "vllm-offline":
        from assistants.clients.vllm.offline_client import offline_client

        return offline_client(model.id, Path(folder))
    name, server = model.name, model.server
    assert server is not None
    from assistants.clients.openai.client import OpenAIClient

    return OpenAIClient(
        name,
        endpoint=endpoint(name, server),
        identity=lambda: _identity(name, server),
        max_concurrency=model.concurrency or server.concurrency,
        max_tokens_field=server.max_tokens_field,
    )


def endpoint(name: str, server: Provider) -> Endpoint:
    """Where ``server`` is and its key, both looked up at each call.

    A server that ``assistants serve`` started is found by the name of its model, unless somebody
    has said where to look.
    """

    async def address() -> Address:
        if _may_be_registered(name, server):
            entry = registry.find_by_model(name.partition(":")[2])
            if entry is not None:
                return entry.address
        return Address(base_url(server), _read_key(name, server))

    return address


def _read_key(name: str, server: Provider) -> str | None:
    if server.key is None or (server.key_optional and not os.environ.get(server.key)):
        return None
    return api_keys.read_key(server.key, name)


def _may_be_registered(name: str, server: Provider) -> bool:
    """Whether it may be a server of ``assistants serve``: nobody has said that it is elsewhere."""
    ours = name.partition(":")[0] == registry.PROVIDER
    return ours and base_url(server) == registry.DEFAULT_URL


def _identity(name: str, server: Provider) -> str:
    """A hosted model by another address is another model; a local server's address is not.

    Another address than the package's own counts, whether a file or the environment says so: what
    one name stands for there may be another model. vLLM and the like are named after their
    weights and move from port to port, so there the name is what the answers depend on; for a
    server that was started here, also on how.
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
    """The addresses of the providers that come with the package."""
    known = Catalogue.read([PACKAGED]).providers
    return {name: server.address for name, server in known.items()}
