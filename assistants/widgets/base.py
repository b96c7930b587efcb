"""What every live widget is: traits, a page drawn from them, and static HTML left behind.

The page asks for things with custom messages (``{"do": "ask", ...}``), and is told that each was
heard. It hears what is new in batches, at most 15 a second, each with a number: a page that misses
one asks for everything.
"""

from __future__ import annotations

import asyncio
import functools
import secrets
import traceback
from collections.abc import Callable, Coroutine, Mapping
from importlib.resources import files
from typing import Any, ClassVar

import anywidget
import traitlets

from assistants.errors import AssistantsError
from assistants.utils.text import escape_control_chars
from assistants.widgets import background

EVERY_S = 1 / 15
"""Seconds between two messages to the page."""

Item = dict[str, Any]


def read_sources(*names: str) -> str:
    """The page's own code: files of this folder, one after the other. Nothing is built."""
    folder = files("assistants.widgets")
    return "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)


class LiveWidget(anywidget.AnyWidget):
    """A widget whose page is drawn from what Python says.

    A subclass names what a page may ask for in ``commands``, and says what it looks like in
    ``whole`` (for a page that knows nothing) and ``still`` (for one without a kernel).
    """

    _esm = "export default { render() {} };"
    _css = ""

    notice = traitlets.Unicode("").tag(sync=True)
    """What went wrong and what to do next; plain text."""

    copied = traitlets.List(traitlets.Any(), ["", 0]).tag(sync=True)
    """The model id, and how often what is left beside its view was brought up to date."""

    commands: ClassVar[Mapping[str, str]] = {}
    """What a page may ask for, and the method that does it; called with the message's values."""

    def __init__(self, **traits: Any) -> None:
        self._outbox: list[Callable[[], Item | None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._sent = 0
        self._place = f"assistants-{secrets.token_hex(8)}"
        self._shown = False
        self._left = ""
        self._number = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.parent: LiveWidget | None = None  # the widget that this one is shown in, copy and all
        super().__init__(**traits)
        self.copied = [self.model_id, 0]
        self.on_msg(self._heard)
        if self.comm is not None:
            # ipykernel would hand a click to the thread that spoke last, which may be a cell that
            # runs for minutes; JupyterLab has named a free one.
            self.comm._reply_subshell_for = _as_the_page_asks

    # -- what a subclass says --------------------------------------------------------------------

    def snapshot(self) -> Item:
        """Everything a page has to know, beside the traits."""
        return {}

    def static_html(self) -> str:
        """Safe HTML that says the same without a kernel and without a script."""
        return ""

    # -- to the page -----------------------------------------------------------------------------

    def send_update(self, item: Callable[[], Item | None]) -> None:
        """Send ``item()`` with the next batch; ``None`` if there is nothing to say by then.

        In the thread of ``background`` only.
        """
        self._outbox.append(item)
        if self._timer is None:
            self._timer = background.loop().call_later(EVERY_S, self.flush)

    def flush(self) -> None:
        """Send what is waiting, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._outbox = self._outbox, []
        items = [item for make in waiting if (item := make()) is not None]
        if items and self.comm is not None:
            self._sent += 1
            self.send({"kind": "batch", "seq": self._sent, "items": items})

    def resync(self, page: str) -> None:
        """Tell one page everything: it was just opened, or has missed something."""
        self.flush()
        self.send({"kind": "snapshot", "seq": self._sent, "page": page, **self.snapshot()})

    # -- from the page ---------------------------------------------------------------------------

    def _heard(self, _: Any, content: Any, buffers: Any) -> None:
        background.loop().call_soon_threadsafe(self._obey, content)

    def _obey(self, content: Mapping[str, Any]) -> None:
        values = dict(content)
        name, page = values.pop("do", None), str(values.pop("page", ""))
        number = values.pop("nth", None)
        self._receipt("heard", page, number)
        if name == "resync":
            self.schedule(self.resync, page=page)
        elif name == "copy":
            self.schedule(self._copy)
        elif name in self.commands:
            work = getattr(self, self.commands[name])
            refused = functools.partial(self._receipt, "refused", page, number)
            self.schedule(functools.partial(self._fulfil, work, values, refused))

    def _receipt(self, kind: str, page: str, number: Any) -> None:
        """Tell a page what becomes of a wish that it has numbered."""
        if number is not None:
            self.send({"kind": kind, "page": page, "nth": number})

    async def _fulfil(
        self, work: Callable[..., Any], values: Item, refused: Callable[[], None]
    ) -> None:
        """Do what a page wishes; if it cannot be done, the page gives the words back."""
        try:
            result = work(**values)
            if isinstance(result, Coroutine):
                await result
        except AssistantsError:
            refused()
            raise

    def schedule(self, work: Callable[..., Any], **values: Any) -> None:
        """Do something without waiting for it; if it fails, the page says why."""

        async def done() -> None:
            try:
                result = work(**values)
                if isinstance(result, Coroutine):
                    await result
            except AssistantsError as error:
                self.notify(str(error))
            except Exception as error:
                self.notify(f"{type(error).__name__}: {error}")
                traceback.print_exc()

        task = background.loop().create_task(done())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def notify(self, notice: str) -> None:
        """Show a notice; an empty one takes it away."""
        self.notice = ""  # the same notice twice is news
        self.notice = escape_control_chars(notice)

    # -- what stays ------------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        """Two outputs: the live view, and beside it what is left when there is no kernel."""
        from IPython.display import display

        view = self._repr_mimebundle_()
        data, metadata = view if isinstance(view, tuple) else (view, {})
        show: Any = display  # it has no types
        show(data, metadata=metadata, raw=True)
        self._leave(show, self.static_html())
        self._shown = True

    def update_fallback(self) -> None:
        """Bring what is left up to date, where it is shown; at the end of a turn is soon enough."""
        if self.parent is not None:
            self.parent.update_fallback()
        if self._shown and (page := self.static_html()) != self._left:
            from IPython.display import update_display

            self._leave(update_display, page)

    def _leave(self, show: Any, page: str) -> None:
        self._left = page
        self._number += 1
        data, metadata = self._bundle()
        show(data, metadata=metadata, raw=True, display_id=self._place)
        self.copied = [self.model_id, self._number]

    def _bundle(self) -> tuple[dict[str, str], Item]:
        """What is left, and in its metadata what tells one version of it from another."""
        page = f'<style>{_STILL}</style><div class="assistants-still">{self._left}</div>'
        return {"text/html": page, "text/plain": repr(self)}, {"assistants": self._number}

    def _copy(self) -> None:
        """Give a page what is left: its notebook holds an older copy."""
        data, metadata = self._bundle()
        self.send({"kind": "copy", "data": data, "metadata": metadata})


def _as_the_page_asks(_: Any, subshell: str | None) -> str | None:
    return subshell


_STILL = read_sources("static/fallback.css")
