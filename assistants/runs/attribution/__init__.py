"""Attribution of a persona's effect to its sentences, by log-likelihood or by ablation."""

from __future__ import annotations

from assistants.runs.attribution.attribution import Attribution, attribute

__all__ = ["Attribution", "attribute"]
