"""``Rate``: which of two answers is better, without knowing whose they are."""

from __future__ import annotations

import getpass
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import traitlets

from assistants.errors import UnknownName, UsageError
from assistants.results import Results
from assistants.run import Run
from assistants.scoring.vote import POINTS, Vote, Winner
from assistants.store import Store
from assistants.text import one_line, visible
from assistants.widgets import background
from assistants.widgets.live import Live, source
from assistants.widgets.markdown import to_html
from assistants.widgets.pairs import Choice, Pair, pairs
from assistants.widgets.rated import Asked, asked, rated
from assistants.widgets.stored import run_of
from assistants.widgets.tally import table, tally

_MAX_NAME = 100


class Rate(Live):
    """Pairs of answers of a stored run, to be rated blind.

    Nothing that reaches the page names a persona or a model before ``reveal``. Each vote is
    stored at once; who comes back goes on where they stopped, whatever ``seed`` they had.

    Parameters
    ----------
    run
        The run, or results: then their newest one.
    personas, cases
        Those to rate; all by default.
    baseline
        Whom the others are compared with; by default the run's own.
    rater
        Who votes; by default the name of the user.
    seed
        With the rater, decides the order and the sides.
    pairs
        ``baseline``: each persona against it; ``all``: everybody against everybody.
    repeats
        How many draws of each answer to rate; all by default.

    Raises
    ------
    UsageError
        For an unknown name, a missing baseline, or where there is nothing to compare.
    """

    _esm = source("page.js", "dress.js", "rate.js")
    _css = source("live.css", "rate.css")

    earlier = traitlets.List(traitlets.Dict()).tag(sync=True)
    """``question``, ``left`` and ``right`` of the turns before the last one, as safe HTML."""
    question = traitlets.Unicode("").tag(sync=True)
    """What was asked last, as safe HTML; empty when nothing is left, or while names are shown."""
    left = traitlets.Unicode("").tag(sync=True)
    """The answer on the left, as safe HTML."""
    right = traitlets.Unicode("").tag(sync=True)
    """The answer on the right, as safe HTML."""
    turn = traitlets.Int(0).tag(sync=True)
    """Counts what was shown, so that one click cannot rate two pairs."""
    voted = traitlets.Int(0).tag(sync=True)
    """Pairs that this rater has rated, here or earlier."""
    total = traitlets.Int(0).tag(sync=True)
    """Pairs there are."""
    done = traitlets.Bool(False).tag(sync=True)
    """Whether every pair is rated."""
    revealed = traitlets.Bool(False).tag(sync=True)
    """Whether the tally, and with it the names, is shown."""
    tally = traitlets.List(traitlets.Dict()).tag(sync=True)
    """One row a persona once ``revealed``, the best first; empty before."""
    rater = traitlets.Unicode("").tag(sync=True)
    """Who votes; setting it lets somebody else go on from where they stopped."""

    commands = {  # noqa: RUF012 - declared a ClassVar in Live
        "vote": "_vote_on",
        "undo": "undo",
        "skip": "skip",
        "reveal": "reveal",
        "hide": "hide",
        "rater": "_sign",
    }

    def __init__(
        self,
        run: Run | Results,
        *,
        personas: Iterable[str] | None = None,
        baseline: str | None = None,
        rater: str | None = None,
        seed: int = 0,
        pairs: Choice = "baseline",
        cases: Iterable[str] | None = None,
        repeats: int | None = None,
    ) -> None:
        self.run = run_of(run)
        self._frame = self.run.trials
        self._asked: dict[str, Any] = {
            "personas": None if personas is None else list(personas),
            "baseline": baseline or self.run.manifest.get("baseline"),
            "choice": pairs,
            "cases": None if cases is None else list(cases),
            "repeats": repeats,
            "seed": seed,
        }
        self._waiting: deque[Pair] = deque()
        self._votes: list[tuple[Pair, Vote]] = []
        self._read: dict[tuple[str, str], list[Asked]] = {}
        self._begun = False
        super().__init__(rater=_user() if rater is None else rater)
        self._begin()
        self._begun = True

    def __repr__(self) -> str:
        return f"Rate({self.run.id!r}: {self.progress} rated)"

    @property
    def progress(self) -> str:
        """``3 of 24``."""
        return f"{self.voted:,} of {self.total:,}"

    # -- what a person does ----------------------------------------------------------------------

    def vote(self, winner: Winner) -> None:
        """Say which answer is better: ``left``, ``right``, ``tie`` or ``both bad``.

        Raises
        ------
        UsageError
            For another word, when every pair is rated, or while names are shown.
        """
        background.call(lambda: self._vote(winner))

    def undo(self) -> None:
        """Take the last vote back, of an earlier day too, and show its pair again.

        Raises
        ------
        UsageError
            If there is none.
        """
        background.call(self._undo)

    def skip(self) -> None:
        """Leave this pair for later: it comes again at the end."""

        def work() -> None:
            self._check_open()
            self._waiting.rotate(-1)
            self._draw()

        background.call(work)

    def reveal(self) -> None:
        """Show how the personas fared so far; happens by itself when every pair is rated."""
        background.call(lambda: self._show_names(True))

    def hide(self) -> None:
        """Go on rating blind after ``reveal``."""
        background.call(lambda: self._show_names(False))

    # -- what is left ----------------------------------------------------------------------------

    def still(self) -> str:
        """How far it went, and the pairs that were rated; names and tally once it is revealed."""
        said = f"<p><b>Blind rating:</b> {self.progress} pairs rated.</p>"
        fared = table(self.tally) if self.revealed else ""
        return said + fared + rated(self._votes, self._asked_of, named=self.revealed)

    # -- the work, in the thread of `background` -------------------------------------------------

    @traitlets.validate("rater")
    def _named(self, proposal: Mapping[str, Any]) -> str:
        name = str(proposal["value"]).strip()
        if not name or len(name) > _MAX_NAME or visible(name) != name or "\n" in name:
            raise UsageError(
                "A rater needs a name.", fix=f"Up to {_MAX_NAME} characters, on one line."
            )
        if name in [judge.get("rater") for judge in self.run.manifest.get("judges", [])]:
            raise UsageError(f"{name!r} is what a judge's votes are signed with.")
        return name

    @traitlets.observe("rater")
    def _signed(self, _: Any) -> None:
        if self._begun:
            background.call(self._begin)

    def _sign(self, name: str) -> None:
        self.say("")
        self.rater = name

    def _begin(self) -> None:
        """What this rater has rated already, and what is still to be rated."""
        order = pairs(self._frame, self.rater, **self._asked)
        by_keys = {pair.keys: pair for pair in order}
        earlier: dict[frozenset[str], Vote] = {}
        with Store(self.run.results) as store:
            for vote in store.votes(self.run.id):
                keys = frozenset((vote.left, vote.right))
                own = vote.rater == self.rater and vote.kind == "person"
                if own and keys in by_keys and vote.winner in POINTS:
                    earlier[keys] = vote
        self._votes = [(by_keys[keys], vote) for keys, vote in earlier.items()]
        self._waiting = deque(pair for pair in order if pair.keys not in earlier)
        self._draw()

    def _vote_on(self, winner: Winner, turn: int) -> None:
        if turn == self.turn:  # else it was meant for a pair that is rated
            self._vote(winner)

    def _vote(self, winner: Winner) -> None:
        if winner not in POINTS:
            raise UnknownName("vote", winner, POINTS)
        self._check_open()
        pair = self._waiting[0]
        vote = Vote(self.rater, "person", pair.left.key, pair.right.key, winner)
        with Store(self.run.results) as store:
            store.add_votes([vote])
        self._waiting.popleft()
        self._votes.append((pair, vote))
        self._draw()

    def _undo(self) -> None:
        if not self._votes:
            raise UsageError("There is no vote to take back.")
        pair, vote = self._votes[-1]
        with Store(self.run.results) as store:
            store.remove_vote(vote)
        self._votes.pop()
        self._waiting.appendleft(pair)
        self._draw()

    def _check_open(self) -> None:
        if not self._waiting:
            raise UsageError("Every pair is rated.", fix="`undo()` takes the last vote back.")
        if self.revealed:
            raise UsageError("The names are shown.", fix="`hide()` goes on blind.")

    def _show_names(self, shown: bool) -> None:
        self._draw(revealed=shown)

    def _draw(self, *, revealed: bool = False) -> None:
        """The next pair; the tally instead when there is none, or somebody wants to see it."""
        done = not self._waiting
        revealed = revealed or done
        turns = [] if revealed else [_shown(each) for each in self._asked_of(self._waiting[0])]
        last = turns.pop() if turns else {"question": "", "left": "", "right": ""}
        self.say("")
        with self.hold_sync():
            self.earlier = turns
            self.question, self.left, self.right = last["question"], last["left"], last["right"]
            self.voted = len(self._votes)
            self.total = len(self._votes) + len(self._waiting)
            self.done = done
            self.revealed = revealed
            self.tally = tally(self._votes) if revealed else []
            self.turn += 1
        self.leave()

    def _asked_of(self, pair: Pair) -> list[Asked]:
        keys = (pair.left.key, pair.right.key)
        if keys not in self._read:
            self._read[keys] = asked(self.run, pair)
        return self._read[keys]


def _shown(turn: Asked) -> dict[str, str]:
    """As a page shows it: safe HTML."""
    return {
        "question": to_html(turn.question),
        "left": to_html(turn.left, colours=True),
        "right": to_html(turn.right, colours=True),
    }


def _user() -> str:
    """The name that the system knows the user by."""
    try:
        return one_line(getpass.getuser(), _MAX_NAME) or "somebody"
    except (OSError, KeyError):
        return "somebody"
