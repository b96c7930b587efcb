"""Checks whether each provider is reachable, by listing its models, which costs nothing."""

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
    """Result of checking one provider; ``detail`` is its models, or the error."""

    provider: str
    is_reachable: bool
    detail: str


async def check_providers(catalogue: Catalogue) -> list[ProviderStatus]:
    """Check all providers at the same time; each one has a few seconds to answer."""
    checks = [_check_provider(name, server) for name, server in catalogue.providers.items()]
    return [_check_embedded(), *await asyncio.gather(*checks)]


def _check_embedded() -> ProviderStatus:
    from assistants.clients.llamacpp import weights

    errors, found = [], []
    for name in weights.embedded_names():
        try:
            found.append(f"{name}: {weights.weights_path(name)}")
        except AssistantsError as error:
            errors.append(str(error))
    return ProviderStatus("local", bool(found), ", ".join(found) or errors[0])


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
