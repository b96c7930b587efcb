"""A forecast tells what a run would ask and cost, and does nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from assistants.messages import Sampling
from assistants.models import Catalogue
from support.experiments import PRICES, experiment_at, quiet, turns
from support.faulty_server import FaultyServer


async def test_a_forecast_asks_and_writes_nothing(here: Path, server: FaultyServer) -> None:
    """No request, no folder, no file, and a store that is there is left as it was."""
    experiment = experiment_at(server.url, 5)
    assert experiment.forecast().to_ask == 10
    assert not Path("results").exists()
    assert server.requests == []
    await experiment.run(on_progress=quiet)
    before = Path("results/answers.sqlite").read_bytes()
    assert experiment.forecast().to_ask == 0
    assert Path("results/answers.sqlite").read_bytes() == before
    assert "nothing to ask" in str(experiment.forecast())


async def test_what_is_answered_is_not_counted(here: Path, server: FaultyServer) -> None:
    """The forecast is of the rest, and by the answers that are there."""
    server.answer = lambda request: "five words in an answer"
    await experiment_at(server.url, 5).run(on_progress=quiet)
    forecast = experiment_at(server.url, 8).forecast()
    assert (forecast.trials, forecast.answered, forecast.to_ask) == (16, 10, 6)
    assert forecast.output_tokens == 6 * 5
    assert forecast.seconds is not None
    capped = experiment_at(server.url, 8, sampling=Sampling(max_tokens=3)).forecast()
    assert capped.output_tokens == 16 * 3


def test_an_unknown_price_is_unknown(here: Path) -> None:
    """Nobody's price is never 0 dollars; a free model is."""
    url = "http://127.0.0.1:1/v1"
    unknown = experiment_at(url, 5, prices=None).forecast()
    assert unknown.usd is None
    assert "cost unknown" in str(unknown)
    free = experiment_at(url, 5, prices=PRICES.model_copy(update={"input": 0, "output": 0}))
    assert "free" in str(free.forecast())
    assert "time unknown" in str(free.forecast())


def test_every_turn_pays_for_its_history(here: Path) -> None:
    """A conversation of three turns sends the first one three times."""
    sampling = Sampling(max_tokens=100)
    one = experiment_at("http://127.0.0.1:1/v1", turns(1, 1), sampling=sampling).forecast()
    three = experiment_at("http://127.0.0.1:1/v1", turns(3, 1), sampling=sampling).forecast()
    assert three.output_tokens == 3 * one.output_tokens
    assert three.input_tokens > 3 * one.input_tokens + 2 * 300 - 20


def test_a_long_run_is_not_priced_as_one_long_call(here: Path) -> None:
    """Where long calls cost more a token, a thousand short ones do not."""
    model = Catalogue.default().find("chatgpt")
    model = replace(model, name="google:gemini-2.5-pro")
    few, many = (
        replace(
            experiment_at("http://127.0.0.1:1/v1", cases, personas=["none"]),
            models={"test:m": model},
        ).forecast()
        for cases in (10, 5000)
    )
    assert few.usd
    assert many.usd == pytest.approx(500 * few.usd, rel=0.3)
