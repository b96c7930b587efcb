"""Attribution: which sentence of a persona matters, by log-likelihood or by ablation."""

from __future__ import annotations

from assistants.runs.attribution.attribution import Attribution, attribute

__all__ = ["Attribution", "attribute"]
