"""Rubrics of this package: what a judge grades by."""

from assistants.scoring import Criteria

RUBRICS = {
    "clarity": Criteria(
        {"clear": "Can a child follow it?", "kind": "Is it friendly?"}, scale=(1, 5)
    ),
}


def rubric(name: str) -> Criteria:
    """Return the rubric of a name."""
    return RUBRICS[name]
