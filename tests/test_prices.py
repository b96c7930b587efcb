"""What a call costs; unknown is None, and never 0."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistants.messages import Usage
from assistants.models import Catalogue, Model, Prices
from assistants.prices import cost, is_known

SOME = Usage(input_tokens=1000, output_tokens=100)


def test_a_listed_model_has_a_price(here: Path) -> None:
    """The offline table knows ChatGPT, and more tokens cost more."""
    model = Catalogue.default().find("chatgpt")
    small, large = cost(model, SOME), cost(model, Usage(2000, 200))
    assert small is not None
    assert large == pytest.approx(2 * small)


def test_an_unknown_price_is_none(here: Path) -> None:
    """A model nobody listed, or tokens nobody counted, cost "unknown"."""
    unknown = Catalogue.default().find("openai:not-a-model-9")
    assert cost(unknown, SOME) is None
    assert not is_known(unknown)
    assert cost(Model("nobody:x"), SOME) is None
    chatgpt = Catalogue.default().find("chatgpt")
    assert cost(chatgpt, Usage()) is None
    assert cost(chatgpt, Usage(input_tokens=5)) is None


def test_own_prices_go_first() -> None:
    """US dollars per million tokens, cached ones at their own price."""
    prices = Prices(input=2.0, output=10.0, cached=1.0)
    assert cost(Model("x:y", prices=prices), Usage(1_000_000, 100_000, 500_000)) == 2.5
    full = Prices(input=2.0, output=10.0)
    assert cost(Model("x:y", prices=full), Usage(1_000_000, 0, 500_000)) == 2.0
    assert cost(Model("x:y", prices=prices), Usage(10, 0, 99)) == pytest.approx(1e-5)


def test_only_a_free_model_is_free(here: Path) -> None:
    """A server of one's own costs 0 whatever it reports."""
    for name in ("vllm:m", "smollm2", "echo"):
        assert cost(Catalogue.default().find(name), Usage()) == 0


@pytest.mark.parametrize("usage", [Usage(5, 5, 99), Usage(10**18, 10**18), Usage(0, 0)])
def test_strange_counts_raise_nothing(here: Path, usage: Usage) -> None:
    """What a server reports can be nonsense; the worst price is unknown."""
    found = cost(Catalogue.default().find("chatgpt"), usage)
    assert found is None or found >= 0
