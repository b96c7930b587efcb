"""What a call costs, in US dollars; ``None`` where nobody knows, and never 0 instead."""

from __future__ import annotations

from functools import lru_cache

from assistants.messages import Usage
from assistants.models import Model


def cost(model: Model, usage: Usage) -> float | None:
    """US dollars for one completion, from the model's own prices or the offline price table."""
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
    return _listed(model.provider, model.id, usage)


def is_known(model: Model) -> bool:
    """Whether a call's cost can be told at all."""
    return cost(model, Usage(input_tokens=1, output_tokens=1)) is not None


def _listed(provider: str, model_id: str, usage: Usage) -> float | None:
    return _table(provider, model_id, usage.input_tokens, usage.output_tokens, usage.cached_tokens)


@lru_cache(maxsize=4096)
def _table(
    provider: str, model_id: str, inputs: int | None, outputs: int | None, cached: int | None
) -> float | None:
    from genai_prices import Usage as ListedUsage
    from genai_prices import calc_price

    listed = ListedUsage(input_tokens=inputs, output_tokens=outputs, cache_read_tokens=cached)
    try:
        return float(calc_price(listed, model_ref=model_id, provider_id=provider).total_price)
    except (LookupError, ValueError):  # unknown provider or model; usage it cannot price
        return None
