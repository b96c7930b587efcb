"""Statistics of a run's scores, answers and votes, each with its uncertainty."""

from __future__ import annotations

from assistants.analysis.agreement import agreement
from assistants.analysis.answer_differences import answer_differences
from assistants.analysis.attribution_effects import (
    ATTRIBUTION_TOTALS,
    ATTRIBUTION_TRIALS,
    LOWERS_LIKELIHOOD,
    RAISES_LIKELIHOOD,
    ablation_effects,
    log_likelihood_effects,
)
from assistants.analysis.control_contrasts import control_contrasts
from assistants.analysis.effect_table import PERCENTAGE_POINTS
from assistants.analysis.effects import (
    Arm,
    ScoreTable,
    check_arm,
    effects,
    effects_of_scores,
    interactions,
    note_truncation,
)
from assistants.analysis.headline import FEWEST_TO_TELL, headline
from assistants.analysis.latex import latex_table
from assistants.analysis.mixed_model import mixed_model
from assistants.analysis.net_savings import (
    MemorySavings,
    MemoryTurn,
    memory_savings,
    memory_turns,
)
from assistants.analysis.pairwise_votes import combine_orders, position_bias
from assistants.analysis.permutation import holm
from assistants.analysis.power import cases_needed, power_of, sd_of_difference
from assistants.analysis.ranking import ranking
from assistants.analysis.text_distance import text_distance
from assistants.analysis.verdict import LESS, MORE, NO_DIFFERENCE, TOO_LITTLE

__all__ = [
    "ATTRIBUTION_TOTALS",
    "ATTRIBUTION_TRIALS",
    "FEWEST_TO_TELL",
    "LESS",
    "LOWERS_LIKELIHOOD",
    "MORE",
    "NO_DIFFERENCE",
    "PERCENTAGE_POINTS",
    "RAISES_LIKELIHOOD",
    "TOO_LITTLE",
    "Arm",
    "MemorySavings",
    "MemoryTurn",
    "ScoreTable",
    "ablation_effects",
    "agreement",
    "answer_differences",
    "cases_needed",
    "check_arm",
    "combine_orders",
    "control_contrasts",
    "effects",
    "effects_of_scores",
    "headline",
    "holm",
    "interactions",
    "latex_table",
    "log_likelihood_effects",
    "memory_savings",
    "memory_turns",
    "mixed_model",
    "note_truncation",
    "position_bias",
    "power_of",
    "ranking",
    "sd_of_difference",
    "text_distance",
]
