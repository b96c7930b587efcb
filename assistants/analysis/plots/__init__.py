"""Plots of a run, drawn by altair without the network, the same every time."""

from __future__ import annotations

from assistants.analysis.plots.attribution_map import attribution_map
from assistants.analysis.plots.cost import cost
from assistants.analysis.plots.distributions import distributions
from assistants.analysis.plots.figure import Figure
from assistants.analysis.plots.forest import forest
from assistants.analysis.plots.heat_map import heat_map

__all__ = ["Figure", "attribution_map", "cost", "distributions", "forest", "heat_map"]
