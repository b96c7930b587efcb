"""Is a provider there? Asks each server which models it serves, which costs nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from assistants.clients import endpoint
from assistants.clients.openai.transport import build_sdk, translated
from assistants.errors import AssistantsError
from assistants.models import Catalogue, Provider, base_url
from assistants.utils.text import pluralize

_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """What one provider said."""

    provider: str
    ok: bool
    found: str


async def check_all(catalogue: Catalogue) -> list[ProviderStatus]:
    """Ask all providers at the same time; each has a few seconds."""
    local = _local()
    asked = [_check(name, server) for name, server in catalogue.providers.items()]
    return [local, *await asyncio.gather(*asked)]


def _local() -> ProviderStatus:
    from assistants.clients.llamacpp import weights

    try:
        return ProviderStatus("local", True, f"smollm2: {weights.path('smollm2')}")
    except AssistantsError as error:
        return ProviderStatus("local", False, str(error))


async def _check(name: str, server: Provider) -> ProviderStatus:
    import openai

    url = base_url(server)
    try:
        address = await endpoint(name, server)()
        async with build_sdk(name, address) as sdk:
            served = await asyncio.wait_for(sdk.models.list(), _SECONDS)
        ids = sorted(model.id for model in served.data)
        return ProviderStatus(
            name, True, f"{url}: {pluralize(len(ids), 'model')}, {', '.join(ids[:5])}"
        )
    except AssistantsError as error:
        return ProviderStatus(name, False, str(error))
    except (openai.OpenAIError, TimeoutError, ValueError, AttributeError, TypeError) as error:
        return ProviderStatus(name, False, str(translated(error, name, url, _SECONDS)))
