"""Is a provider there? Asks each server which models it serves, which costs nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from assistants.clients import endpoint
from assistants.clients.openai.transport import build_sdk, translate_error
from assistants.errors import AssistantsError
from assistants.models import Catalogue, Provider, base_url
from assistants.utils import pluralize

_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """What one provider said."""

    provider: str
    is_reachable: bool
    detail: str


async def check_providers(catalogue: Catalogue) -> list[ProviderStatus]:
    """Ask all providers at the same time; each has a few seconds."""
    local = _check_embedded()
    asked = [_check_provider(name, server) for name, server in catalogue.providers.items()]
    return [local, *await asyncio.gather(*asked)]


def _check_embedded() -> ProviderStatus:
    from assistants.clients.llamacpp import weights

    try:
        return ProviderStatus("local", True, f"smollm2: {weights.weights_path('smollm2')}")
    except AssistantsError as error:
        return ProviderStatus("local", False, str(error))


async def _check_provider(name: str, server: Provider) -> ProviderStatus:
    import openai

    url = base_url(server)
    try:
        address = await endpoint(name, server)()
        async with build_sdk(name, address) as sdk:
            served = await asyncio.wait_for(sdk.models.list(), _TIMEOUT_S)
        ids = sorted(model.id for model in served.data)
        return ProviderStatus(
            name, True, f"{url}: {pluralize(len(ids), 'model')}, {', '.join(ids[:5])}"
        )
    except AssistantsError as error:
        return ProviderStatus(name, False, str(error))
    except (openai.OpenAIError, TimeoutError, ValueError, AttributeError, TypeError) as error:
        return ProviderStatus(name, False, str(translate_error(error, name, url, _TIMEOUT_S)))
