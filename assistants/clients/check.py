"""Is a provider there? Asks each server which models it serves, which costs nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from assistants.clients import endpoint
from assistants.clients.transport import build_sdk, translated
from assistants.errors import AssistantsError
from assistants.models import Catalogue, Provider, address_of
from assistants.text import many

_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Reached:
    """What one provider said."""

    provider: str
    ok: bool
    found: str


async def check_all(catalogue: Catalogue) -> list[Reached]:
    """Ask all providers at the same time; each has a few seconds."""
    local = _local()
    asked = [_check(name, server) for name, server in catalogue.providers.items()]
    return [local, *await asyncio.gather(*asked)]


def _local() -> Reached:
    from assistants.clients import weights

    try:
        return Reached("local", True, f"smollm2: {weights.path('smollm2')}")
    except AssistantsError as error:
        return Reached("local", False, str(error))


async def _check(name: str, server: Provider) -> Reached:
    import openai

    url = address_of(server)
    try:
        address = await endpoint(name, server)()
        async with build_sdk(name, address) as sdk:
            served = await asyncio.wait_for(sdk.models.list(), _SECONDS)
        ids = sorted(model.id for model in served.data)
        return Reached(name, True, f"{url}: {many(len(ids), 'model')}, {', '.join(ids[:5])}")
    except AssistantsError as error:
        return Reached(name, False, str(error))
    except (openai.OpenAIError, TimeoutError, ValueError, AttributeError, TypeError) as error:
        return Reached(name, False, str(translated(error, name, url, _SECONDS)))
