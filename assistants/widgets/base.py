"""The base of every live widget: traits, a page drawn from them, and a static HTML fallback.

The page sends commands as custom messages (``{"do": "ask", ...}``), and gets a receipt for each.
It is sent updates in batches, at most 15 a second, each with a sequence number: a page that misses
a batch asks for a snapshot.
"""

from __future__ import annotations

import asyncio
import functools
import secrets
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import traitlets

from assistants.design import append_case
from assistants.errors import AssistantsError
from assistants.utils.text import escape_control_chars
from assistants.widgets import background

BATCH_INTERVAL_S = 1 / 15
"""Seconds between two batches of updates to the page."""

Item = dict[str, Any]


def read_sources(*names: str) -> str:
    """Return files of this folder, one after the other: the page's own code, without a build."""
    folder = files("assistants.widgets")
    return "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)


class LiveWidget(anywidget.AnyWidget):
    """A widget whose page is drawn from the state in Python.

    A subclass lists the commands of its page in ``commands``, and describes itself in
    ``snapshot`` (for a page that was just opened) and ``static_html`` (for one without a kernel).
    """

    _esm = "export default { render() {} };"
    _css = ""

    notice = traitlets.Unicode("").tag(sync=True)
    """An error, and what to do next; plain text."""

    fallback = traitlets.List(traitlets.Any(), ["", 0]).tag(sync=True)
    """The model id, and the version of the static HTML that stands beside the view."""

    commands: ClassVar[Mapping[str, str]] = {}
    """Method names by the command of the page that calls them; arguments are the message's."""

    def __init__(self, **traits: Any) -> None:
        self._outbox: list[Callable[[], Item | None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._sent = 0
        self._display_id = f"assistants-{secrets.token_hex(8)}"
        self._is_displayed = False
        self._fallback_html = ""
        self._fallback_version = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.parent: LiveWidget | None = None  # the widget that shows this one, fallback included
        super().__init__(**traits)
        self.fallback = [self.model_id, 0]
        self.on_msg(self._on_message)
        if self.comm is not None:
            # ipykernel would route a click to the thread that spoke last, which may be a cell that
            # runs for minutes; JupyterLab has named a free one.
            self.comm._reply_subshell_for = _requested_subshell

    # -- for subclasses --------------------------------------------------------------------------

    def snapshot(self) -> Item:
        """Return everything that a page has to know, besides the traits."""
        return {}

    def static_html(self) -> str:
        """Return safe HTML of the same content, for readers without a kernel or scripts."""
        return ""

    # -- to the page -----------------------------------------------------------------------------

    def send_update(self, item: Callable[[], Item | None]) -> None:
        """Send ``item()`` with the next batch, unless it is ``None`` by then.

        Call it in the thread of ``background`` only.
        """
        self._outbox.append(item)
        if self._timer is None:
            self._timer = background.loop().call_later(BATCH_INTERVAL_S, self.flush)

    def flush(self) -> None:
        """Send the waiting updates now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._outbox = self._outbox, []
        items = [item for make in waiting if (item := make()) is not None]
        if items and self.comm is not None:
            self._sent += 1
            self.send({"kind": "batch", "seq": self._sent, "items": items})

    def resync(self, page: str) -> None:
        """Send a snapshot to one page, which was just opened or has missed a batch."""
        self.flush()
        self.send({"kind": "snapshot", "seq": self._sent, "page": page, **self.snapshot()})

    def notify(self, notice: str) -> None:
        """Show a notice; an empty one removes it."""
        self.notice = ""  # so that the same notice, set a second time, is sent again
        self.notice = escape_control_chars(notice)

    # -- from the page ---------------------------------------------------------------------------

    def _on_message(self, _: Any, content: Any, buffers: Any) -> None:
        background.loop().call_soon_threadsafe(self.handle_message, content)

    def handle_message(self, content: Mapping[str, Any]) -> None:
        """Act on a message of a page. Call it in the thread of ``background`` only."""
        values = dict(content)
        command, page = values.pop("do", None), str(values.pop("page", ""))
        number = values.pop("nth", None)
        self._send_receipt("heard", page, number)
        if command == "resync":
            self.schedule(self.resync, page=page)
        elif command == "fallback":
            self.schedule(self._send_fallback)
        elif command in self.commands:
            method = getattr(self, self.commands[command])
            on_refused = functools.partial(self._send_receipt, "refused", page, number)
            self.schedule(functools.partial(self._run_command, method, values, on_refused))

    def _send_receipt(self, kind: str, page: str, number: Any) -> None:
        """Tell a page what became of a command that it has numbered."""
        if number is not None:
            self.send({"kind": kind, "page": page, "nth": number})

    async def _run_command(
        self, method: Callable[..., Any], values: Item, on_refused: Callable[[], None]
    ) -> None:
        """Run a command; if it fails, the page restores what was typed."""
        try:
            result = method(**values)
            if isinstance(result, Coroutine):
                await result
        except AssistantsError:
            on_refused()
            raise

    def schedule(self, work: Callable[..., Any], **values: Any) -> None:
        """Start ``work(**values)`` without waiting for it; a failure is shown as a notice."""

        async def guarded() -> None:
            try:
                result = work(**values)
                if isinstance(result, Coroutine):
                    await result
            except AssistantsError as error:
                self.notify(str(error))
            except Exception as error:
                self.notify(f"{type(error).__name__}: {error}")
                traceback.print_exc()

        task = background.loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- the static fallback ---------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        """Display two outputs: the live view, and the fallback for readers without a kernel."""
        from IPython.display import display

        view = self._repr_mimebundle_()
        data, metadata = view if isinstance(view, tuple) else (view, {})
        show: Any = display  # it has no types
        show(data, metadata=metadata, raw=True)
        self._show_fallback(show, self.static_html())
        self._is_displayed = True

    def update_fallback(self) -> None:
        """Bring the displayed fallback up to date; at the end of a turn is soon enough."""
        if self.parent is not None:
            self.parent.update_fallback()
        if self._is_displayed and (page := self.static_html()) != self._fallback_html:
            from IPython.display import update_display

            self._show_fallback(update_display, page)

    def _show_fallback(self, show: Any, page: str) -> None:
        self._fallback_html = page
        self._fallback_version += 1
        data, metadata = self._fallback_bundle()
        show(data, metadata=metadata, raw=True, display_id=self._display_id)
        self.fallback = [self.model_id, self._fallback_version]

    def _fallback_bundle(self) -> tuple[dict[str, str], Item]:
        """Return the fallback's MIME bundle, and metadata that holds its version."""
        page = f'<style>{_CSS}</style><div class="assistants-still">{self._fallback_html}</div>'
        return {"text/html": page, "text/plain": repr(self)}, {"assistants": self._fallback_version}

    def _send_fallback(self) -> None:
        """Send the fallback to a page whose notebook holds an older one."""
        data, metadata = self._fallback_bundle()
        self.send({"kind": "fallback", "data": data, "metadata": metadata})


class CaseSaver:
    """Appends questions to experiment files for a widget, and says in the widget where they went.

    Parameters
    ----------
    widget
        The widget that holds this object; its trait ``kept`` is set to the text.
    """

    def __init__(self, widget: LiveWidget) -> None:
        self._widget = widget

    def save(
        self,
        path: str | Path,
        questions: str | Sequence[str],
        *,
        id: str | None = None,  # noqa: A002 - the word of the file
        reference: str | None = None,
    ) -> str:
        """Append a case to an experiment file, and return the id that it has there."""
        name = append_case(path, questions, id=id, reference=reference)
        background.call(lambda: self._show(f"Kept as case {name} in {path}."))
        return name

    def clear(self) -> None:
        """Remove what was said about the last case, and the widget's notice."""
        self._widget.notify("")
        self._show("")

    def _show(self, text: str) -> None:
        self._widget.set_trait("kept", escape_control_chars(text))


def _requested_subshell(_: Any, subshell: str | None) -> str | None:
    return subshell


_CSS = read_sources("static/fallback.css")
