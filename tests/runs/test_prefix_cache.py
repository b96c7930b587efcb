"""A run's manifest says what the prefix cache of its server found meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from assistants.models import Catalogue
from support.experiments import client_at, experiment_at, quiet
from support.faulty_replies import Step, http
from support.faulty_server import FaultyServer, Request


class Caching(FaultyServer):
    """Looks up a hundred tokens a question, finds forty of them, and had found others before."""

    telling = True

    def _steps(self, request: Request) -> Sequence[Step]:
        if request.path == "/metrics" and self.telling:
            asked = sum(each.path.endswith("/chat/completions") for each in self.requests)
            page = (
                f"vllm:prefix_cache_queries_total {1000 + 100 * asked}.0\n"
                f"vllm:prefix_cache_hits_total {900 + 40 * asked}.0\n"
            )
            return [http(page.encode())]
        return super()._steps(request)


@pytest.mark.parametrize("telling", [True, False])
async def test_what_the_cache_found_meanwhile_is_recorded(here: Path, telling: bool) -> None:
    """Less what was there before the first question; nothing of a server that does not tell."""
    with Caching() as server:
        server.telling = telling
        client = client_at(server.url, "vllm:m")
        experiment = experiment_at(server.url, 3, client=client)
        entry = Catalogue.default().find("vllm:m")
        experiment.models["vllm:m"] = entry
        run = await experiment.run(on_progress=quiet)
    found = [{"model": "vllm:m", "queries": 600, "hits": 240, "rate": 0.4}]
    assert run.outcome == "complete"
    assert run.manifest["prefix_cache"] == (found if telling else [])


async def test_a_hosted_api_is_not_asked_for_its_cache(here: Path) -> None:
    """Its metrics are nobody's business."""
    with Caching() as server:
        await experiment_at(server.url, 2, client=client_at(server.url, "openai:m")).run(
            on_progress=quiet
        )
    assert "/metrics" not in [request.path for request in server.requests]
