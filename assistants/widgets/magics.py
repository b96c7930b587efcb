"""``%%ask``, ``%personas`` and ``%models``, for ``%load_ext assistants``.

A cell of ``%%ask`` ends when every answer has ended, so that papermill stores whole ones and the
next cell can use them. The answers arrive in the thread of the live widgets: meanwhile the columns
stream, their buttons work, and an interrupt gives the prompt back.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import keyword
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from IPython.core.completer import SimpleCompletion, context_matcher
from IPython.core.error import UsageError as IPythonUsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import MagicArgumentParser

from assistants.errors import AssistantsError, MissingDependencyError, UnknownNameError, UsageError
from assistants.models import IN_PROCESS, PROVIDER_PLUGINS, Catalogue, base_url
from assistants.personas import Library
from assistants.utils import escape_control_chars

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

    from assistants.widgets.chat.compare import Compare
    from assistants.widgets.html import Html

_TICK_S = 0.1
"""Seconds between two looks of a waiting cell for an answer, or an interrupt."""

_PATIENCE_S = 0.8
"""Seconds that the prompt waits, after an interrupt, for the text so far to be stored."""

_WORD = re.compile(r"\S*$")
_OF_ASK = re.compile(r"\s*%%ask\s(?:.*\s)?(-p|--persona|-m|--model)[\s=]\s*\S*$")
_OF_PERSONAS = re.compile(r"\s*%?personas\s+\S*$")


def load_magics(shell: InteractiveShell) -> None:
    """Give a shell the magics, and complete their names."""
    shell.register_magics(AssistantsMagics)
    if matcher not in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.append(matcher)


def _options() -> Any:
    parser: Any = MagicArgumentParser  # it has no types
    options = parser("%%ask")
    options.add_argument("-p", "--persona", action="append")
    options.add_argument("-m", "--model", action="append")
    options.add_argument("-n", "--repeats", type=int, default=1)
    options.add_argument("--max-tokens", type=int)
    options.add_argument("--temperature", type=float)
    options.add_argument("--into", metavar="NAME")
    return options


_OPTIONS = _options()


@magics_class
class AssistantsMagics(Magics):
    """Asking without a line of Python."""

    @cell_magic
    def ask(self, line: str, cell: str) -> None:
        """Ask every persona on every model what the cell says, side by side.

        ::

            %%ask [-p PERSONA]... [-m MODEL]... [-n REPEATS] [--max-tokens N] [--temperature T]
                  [--into NAME]

        ``-p`` and ``-m`` may be repeated; without them it is ``-p none``, and the model is
        ``qwen``, or ``smollm2`` where only that was fetched. ``-n`` is how many answers each column
        draws, and ``--into`` binds a DataFrame of the answers.
        """
        with _without_traceback():
            options = _OPTIONS.parse_argstring(line)
            _check(options.into, options.repeats)
            compare = _compare(options)
            assert self.shell is not None
            with _bound(self.shell, options.into, compare):
                _ask(self.shell, compare, cell.strip(), options.repeats)

    @line_magic
    def personas(self, line: str) -> Html:
        """List the personas: all, or those whose names match a pattern: ``%personas *art*``."""
        from fnmatch import fnmatch

        from assistants.widgets.html import personas_table

        with _without_traceback():
            pattern = line.strip()
            found = Library.default().all()
            chosen = [each for each in found if fnmatch(each.name, pattern or "*")]
            if not chosen:
                raise UnknownNameError("persona", pattern, [each.name for each in found])
            return personas_table(chosen)

    @line_magic
    def models(self, line: str) -> Html:
        """List the models: what a short name stands for, and which providers there are."""
        from assistants.widgets.html import source_label, text_table

        with _without_traceback():
            found = Catalogue.default()
            names = [
                [name, found.find(name).name, "", source_label(found.sources[name])]
                for name in found.models
            ]
            servers = [
                [
                    f"{name}:ID",
                    base_url(server),
                    server.key or "",
                    source_label(found.sources[f"{name}:"]),
                ]
                for name, server in found.providers.items()
            ]
            inside = [[f"{name}:ID", "(no server needed)", "", "built in"] for name in IN_PROCESS]
            plugins = [
                [f"{name}:ID", "", "", plugin.source]
                for name, plugin in PROVIDER_PLUGINS.usable().items()
                if name not in found.providers
            ]
            return text_table(
                ["model", "stands for", "key from", "source"],
                [*names, *servers, *inside, *plugins],
            )


def _complete(context: CompletionContext) -> SimpleMatcherResult:
    """Names of personas and models, where ``%%ask`` and ``%personas`` want one."""
    line = context.text_until_cursor
    asked = _OF_ASK.match(line)
    if asked is None and _OF_PERSONAS.match(line) is None:
        return {"completions": []}
    word = _WORD.search(line)
    assert word is not None
    typed = word[0].rpartition("=")[2]
    of_model = asked is not None and asked[1] in ("-m", "--model")
    try:
        names = list(Catalogue.default().models) if of_model else Library.default().names()
    except AssistantsError:  # a file is wrong: to run the cell says which
        return {"completions": []}
    kind = "model" if of_model else "persona"
    return {
        "completions": [SimpleCompletion(n, type=kind) for n in names if n.startswith(typed)],
        "matched_fragment": typed,
        "suppress": True,
    }


matcher: Any = context_matcher()(_complete)


def _check(into: str | None, repeats: int) -> None:
    """See before anything is asked, or paid, that there is a place for the answers."""
    if repeats < 1:
        raise UsageError(f"at least one repeat is needed, not {repeats!r}.")
    if into is not None and (not into.isidentifier() or keyword.iskeyword(into)):
        raise UsageError(f"{into!r} is no name of a variable.", fix="For example: --into answers")


def _compare(options: Any) -> Compare:
    from assistants.messages import Sampling

    try:
        from assistants.widgets.chat.compare import Compare
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"%%ask needs {error.name}, which is not installed.",
            fix='Install it: pip install "assistants[notebooks]"',
        ) from None
    try:
        sampling = Sampling(temperature=options.temperature, max_tokens=options.max_tokens)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return Compare(options.persona or ["none"], options.model, sampling=sampling)


def _ask(shell: InteractiveShell, compare: Compare, question: str, repeats: int) -> None:
    """Ask, and wait in the open: columns in a notebook, text in a terminal."""
    if getattr(shell, "kernel", None) is None:
        printer = _Printer(compare)
        try:
            _wait(compare, compare.ask(question, repeats=repeats), printer.print)
        finally:
            printer.print()
        return
    from IPython.display import display

    show: Any = display  # it has no types
    show(compare)
    _wait(compare, compare.ask(question, repeats=repeats), lambda: None)


def _wait(compare: Compare, work: Coroutine[Any, Any, None], look: Callable[[], None]) -> None:
    """Wait for ``work``, done where answers arrive, and ``look`` at what is there meanwhile."""
    from assistants.widgets import background

    asked = asyncio.run_coroutine_threadsafe(work, background.loop())
    try:
        while not asked.done():
            concurrent.futures.wait([asked], timeout=_TICK_S)
            look()
    except KeyboardInterrupt:
        asyncio.run_coroutine_threadsafe(compare.stop(), background.loop())
        concurrent.futures.wait([asked], timeout=_PATIENCE_S)
        raise KeyboardInterrupt("The answers were stopped; what had arrived is kept.") from None
    asked.result()


class _Printer:
    """Prints each answer once it has ended, in the order of the columns."""

    def __init__(self, compare: Compare) -> None:
        self._compare = compare
        self._printed = 0

    def print(self) -> None:
        """Print what is new."""
        rows = self._compare.replies
        for row in rows[self._printed :]:
            if row["state"] not in ("done", "stopped", "failed"):
                return
            print(_text(row))  # noqa: T201 - what a terminal is there for
            self._printed += 1


def _text(row: Mapping[str, Any]) -> str:
    """One answer for a terminal."""
    repeat = f", repeat {row['repeat']}" if row["repeat"] else ""
    facts = [row["state"]] if row["state"] != "done" else []
    if row["output_tokens"] is not None:
        facts.append(f"{row['output_tokens']:,} tokens")
    if row["total_s"] is not None:
        facts.append(f"{row['total_s']:.1f} s")
    head = f"== {row['persona']} on {row['model']}{repeat} ({', '.join(facts)})"
    parts = [head, row["answer"], f"error: {row['error']}" if row["error"] else ""]
    return escape_control_chars("\n\n".join(part for part in parts if part) + "\n")


@contextmanager
def _bound(shell: InteractiveShell, name: str | None, compare: Compare) -> Iterator[None]:
    """Bind what was answered to ``name``, also if the rest was interrupted."""
    if name is None:
        yield
        return
    import pandas as pd  # now, as it takes a while: an interrupt has no time for it

    try:
        yield
    finally:
        shell.user_ns[name] = pd.DataFrame(compare.replies)


@contextmanager
def _without_traceback() -> Iterator[None]:
    """Turn an error that a person can mend into one message of IPython's."""
    try:
        yield
    except AssistantsError as error:
        raise IPythonUsageError(escape_control_chars(str(error))) from None
