"""``Rate``: a blind comparison of two answers at a time."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import traitlets
from markupsafe import Markup

from assistants.errors import UnknownNameError, UsageError
from assistants.results import Results, Run
from assistants.runs import Store
from assistants.scoring import VOTE_POINTS, Vote, Winner
from assistants.widgets.background import STORE_TIMEOUT_S, run_with_timeout, wait_for
from assistants.widgets.base import LiveWidget, read_sources
from assistants.widgets.html import to_html
from assistants.widgets.rate.pairing import Choice, Pair, pairs
from assistants.widgets.rate.rated_pairs import RatedTurn, rated_pairs_html, rated_turns
from assistants.widgets.rate.raters import (
    current_user,
    rater_name,
    rater_votes,
    tally_table,
    tally_votes,
)
from assistants.widgets.stored_runs import resolve_run


class Rate(LiveWidget):
    """Pairs of answers of a stored run, to be rated blind.

    Nothing that reaches the page names a persona or a model before ``reveal``. Each vote is
    stored at once; a rater who comes back continues where they stopped, whatever the ``seed``. The
    store is read and written in a thread of its own, one command after the other.

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

    _esm = read_sources("static/page.js", "static/markdown.js", "rate/rate.js")
    _css = read_sources("static/live.css", "rate/rate.css")

    earlier = traitlets.List(traitlets.Dict()).tag(sync=True)
    """``question``, ``left`` and ``right`` of the turns before the last one, as safe HTML."""
    question = traitlets.Unicode("").tag(sync=True)
    """The last question, as safe HTML; empty when nothing is left, or while names are shown."""
    left = traitlets.Unicode("").tag(sync=True)
    """The answer on the left, as safe HTML."""
    right = traitlets.Unicode("").tag(sync=True)
    """The answer on the right, as safe HTML."""
    turn = traitlets.Int(0).tag(sync=True)
    """The number of pairs shown so far: a click names it, so that it cannot rate the next pair."""
    voted = traitlets.Int(0).tag(sync=True)
    """Pairs that this rater has rated, here or earlier."""
    total = traitlets.Int(0).tag(sync=True)
    """Pairs there are."""
    done = traitlets.Bool(False).tag(sync=True)
    """True once every pair is rated."""
    revealed = traitlets.Bool(False).tag(sync=True)
    """True once the tally, and with it the names, is shown."""
    tally = traitlets.List(traitlets.Dict()).tag(sync=True)
    """One row per persona once ``revealed``, the best first; empty before."""
    rater = traitlets.Unicode("").tag(sync=True)
    """The name of the rater; setting it lets somebody else continue their own votes."""

    commands = {  # noqa: RUF012 - declared a ClassVar in Live
        "vote": "_vote_on",
        "undo": "_undo",
        "skip": "_skip",
        "reveal": "_reveal",
        "hide": "_hide",
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
        self.run = resolve_run(run)
        self._frame = self.run.trials()
        self._selection: dict[str, Any] = {
            "personas": None if personas is None else list(personas),
            "baseline": baseline or self.run.manifest.get("baseline"),
            "choice": pairs,
            "cases": None if cases is None else list(cases),
            "repeats": repeats,
            "seed": seed,
        }
        self._waiting: deque[Pair] = deque()
        self._votes: list[tuple[Pair, Vote]] = []
        self._turns: dict[tuple[str, str], list[RatedTurn]] = {}
        self._signed_as = ""
        self._lock = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rating")
        super().__init__(rater=current_user() if rater is None else rater)
        wait_for(self._sign(self.rater))

    def __repr__(self) -> str:
        return f"Rate({self.run.id!r}: {self.progress} rated)"

    @property
    def progress(self) -> str:
        """``3 of 24``."""
        return f"{self.voted:,} of {self.total:,}"

    # -- what a person does ----------------------------------------------------------------------

    def vote(self, winner: Winner) -> None:
        """Store which answer is better: ``left``, ``right``, ``tie`` or ``both bad``.

        Raises
        ------
        UsageError
            For another word, when every pair is rated, or while names are shown.
        StoreError
            If the vote cannot be stored.
        """
        wait_for(self._vote(winner))

    def undo(self) -> None:
        """Take the last vote back, of an earlier day too, and show its pair again.

        Raises
        ------
        UsageError
            If there is none.
        """
        wait_for(self._undo())

    def skip(self) -> None:
        """Put this pair off: it comes again at the end."""
        wait_for(self._skip())

    def reveal(self) -> None:
        """Show how the personas fared so far; done by itself when every pair is rated."""
        wait_for(self._reveal())

    def hide(self) -> None:
        """Go on rating blind after ``reveal``."""
        wait_for(self._hide())

    # -- what is left ----------------------------------------------------------------------------

    def static_html(self) -> Markup:
        """Return the progress and the rated pairs; names and tally once they are revealed."""
        head = Markup("<p><b>Blind rating:</b> {} pairs rated.</p>").format(self.progress)
        tally = tally_table(self.tally) if self.revealed else Markup()
        return head + tally + rated_pairs_html(self._votes, self._turns_of, named=self.revealed)

    # -- the work, in the thread of `background` -------------------------------------------------

    @traitlets.validate("rater")
    def _named(self, proposal: Mapping[str, Any]) -> str:
        return rater_name(self.run, proposal["value"])

    @traitlets.observe("rater")
    def _signed(self, change: Mapping[str, Any]) -> None:
        if self._signed_as and change["new"] != self._signed_as:
            try:
                wait_for(self._sign(change["new"]))
            except BaseException:
                self.rater = self._signed_as
                raise

    async def _sign(self, name: str) -> None:
        name = rater_name(self.run, name)
        async with self._lock:
            votes, waiting = await asyncio.to_thread(self._votes_and_rest, name)
            await self._go_to(votes, waiting)
            self._signed_as = self.rater = name

    def _votes_and_rest(self, rater: str) -> tuple[list[tuple[Pair, Vote]], deque[Pair]]:
        """Return what this rater has rated already, and what is still to be rated."""
        order = pairs(self._frame, rater, **self._selection)
        votes = rater_votes(self.run, rater, order)
        done = {pair.keys for pair, _ in votes}
        return votes, deque(pair for pair in order if pair.keys not in done)

    async def _vote_on(self, winner: Winner, turn: int) -> None:
        await self._vote(winner, turn)

    async def _vote(self, winner: Winner, turn: int | None = None) -> None:
        async with self._lock:
            if turn not in (None, self.turn):
                return  # it was meant for a pair that is rated
            if winner not in VOTE_POINTS:
                raise UnknownNameError("vote", winner, VOTE_POINTS)
            self._check_open()
            pair, *rest = self._waiting
            vote = Vote(self._signed_as, "person", pair.left.key, pair.right.key, winner)
            votes = [*self._votes, (pair, vote)]
            await self._go_to(votes, deque(rest), lambda store: store.add_votes([vote]))

    async def _undo(self) -> None:
        async with self._lock:
            if not self._votes:
                raise UsageError("There is no vote to take back.")
            *votes, (pair, vote) = self._votes
            waiting = deque([pair, *self._waiting])
            await self._go_to(votes, waiting, lambda store: store.remove_vote(vote))

    async def _skip(self) -> None:
        async with self._lock:
            self._check_open()
            first, *rest = self._waiting
            await self._go_to(self._votes, deque([*rest, first]))

    async def _reveal(self) -> None:
        async with self._lock:
            await self._go_to(self._votes, self._waiting, revealed=True)

    async def _hide(self) -> None:
        async with self._lock:
            await self._go_to(self._votes, self._waiting)

    def _check_open(self) -> None:
        if not self._waiting:
            raise UsageError("Every pair is rated.", fix="`undo()` takes the last vote back.")
        if self.revealed:
            raise UsageError("The names are shown.", fix="`hide()` goes on blind.")

    async def _go_to(
        self,
        votes: list[tuple[Pair, Vote]],
        waiting: deque[Pair],
        change: Callable[[Store], None] | None = None,
        *,
        revealed: bool = False,
    ) -> None:
        """Read what comes next, then store the change, and only then show it.

        Whatever fails, the page shows the pair that the next vote is on.
        """
        revealed = revealed or not waiting

        def work(too_late: threading.Event) -> Sequence[RatedTurn]:
            turns = [] if revealed else self._turns_of(waiting[0])
            if self._is_displayed:
                rated_pairs_html(
                    votes, self._turns_of, named=revealed
                )  # so that it is read when it is left
            if change is not None:
                with Store(self.run.results) as store:  # which waits for as long as it is locked
                    if not too_late.is_set():
                        change(store)
            return turns

        turns = await run_with_timeout(
            self._thread, self.run.results, work, seconds=STORE_TIMEOUT_S
        )
        self._votes, self._waiting = votes, waiting
        self._draw(turns, revealed=revealed)

    def _draw(self, rated: Sequence[RatedTurn], *, revealed: bool) -> None:
        """Set the traits to the next pair, or to the tally if there is none or it is revealed."""
        turns = [_turn_item(turn) for turn in rated]
        last = turns.pop() if turns else {"question": "", "left": "", "right": ""}
        self.notify("")
        with self.hold_sync():
            self.earlier = turns
            self.question, self.left, self.right = last["question"], last["left"], last["right"]
            self.voted = len(self._votes)
            self.total = len(self._votes) + len(self._waiting)
            self.done = not self._waiting
            self.revealed = revealed
            self.tally = tally_votes(self._votes) if revealed else []
            self.turn += 1
        self.update_fallback()

    def _turns_of(self, pair: Pair) -> list[RatedTurn]:
        keys = (pair.left.key, pair.right.key)
        if keys not in self._turns:
            self._turns[keys] = rated_turns(self.run, pair)
        return self._turns[keys]


def _turn_item(turn: RatedTurn) -> dict[str, str]:
    """Return a turn for the page, as safe HTML."""
    return {
        "question": to_html(turn.question),
        "left": to_html(turn.left, colours=True),
        "right": to_html(turn.right, colours=True),
    }
