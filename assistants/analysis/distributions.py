"""The distribution functions that the analysis needs, out of scipy when it is installed."""

from __future__ import annotations

from typing import Any

from assistants.errors import MissingDependencyError


def special() -> Any:
    """``scipy.special``, which loads in a tenth of the time of ``scipy.stats``.

    Raises
    ------
    MissingDependencyError
        If scipy is not installed.
    """
    try:
        from scipy import special as functions
    except ImportError as e:
        raise MissingDependencyError(
            "Effects are computed with scipy, which is not installed.",
            fix="pip install 'assistants[analysis]'",
        ) from e
    return functions
