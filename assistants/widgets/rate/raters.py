"""Who rates: what a rater may be called, and what they have said so far."""

from __future__ import annotations

import getpass
from collections.abc import Sequence

from assistants.errors import UsageError
from assistants.run import Run
from assistants.runs.store import Store
from assistants.scoring.vote import VOTE_POINTS, Vote
from assistants.utils.text import escape_control_chars, truncate_line
from assistants.widgets.rate.pairing import Pair

_MAX_NAME = 100


def rater_name(run: Run, rater: object) -> str:
    """The name that votes are signed with.

    Raises
    ------
    UsageError
        If it cannot be read, or is a judge's.
    """
    name = str(rater).strip()
    if not name or len(name) > _MAX_NAME or escape_control_chars(name) != name or "\n" in name:
        raise UsageError("A rater needs a name.", fix=f"Up to {_MAX_NAME} characters, on one line.")
    if name in [judge.get("rater") for judge in run.manifest.get("judges", [])]:
        raise UsageError(f"{name!r} is what a judge's votes are signed with.")
    return name


def current_user() -> str:
    """The name that the system knows the user by."""
    try:
        return truncate_line(getpass.getuser(), _MAX_NAME) or "somebody"
    except (OSError, KeyError):
        return "somebody"


def rater_votes(run: Run, rater: str, order: Sequence[Pair]) -> list[tuple[Pair, Vote]]:
    """What a rater said of these pairs, oldest first; of two votes on a pair, the last one."""
    by_keys = {pair.keys: pair for pair in order}
    found: dict[frozenset[str], Vote] = {}
    with Store(run.results) as store:
        for vote in store.votes(run.id):
            keys = frozenset((vote.left, vote.right))
            own = vote.rater == rater and vote.kind == "person"
            if own and keys in by_keys and vote.winner in VOTE_POINTS:
                found[keys] = vote
    return [(by_keys[keys], vote) for keys, vote in found.items()]
