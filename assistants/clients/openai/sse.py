"""Server-sent events: bytes in, the data of each event out.

https://html.spec.whatwg.org/multipage/server-sent-events.html, less ``event``, ``id`` and
``retry``, which no chat completions server gives a meaning to.
"""

from __future__ import annotations

_BOM = b"\xef\xbb\xbf"


class EventReader:
    """Splits a byte stream into events, wherever the network cut it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []  # of the line that has no end yet; joined once
        self._data: list[bytes] = []
        self._first = True
        self.strange = False
        """Whether a line came that no event stream has."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that ``chunk`` completes."""
        self._parts.append(chunk)
        if b"\n" not in chunk and b"\r" not in chunk and not self._ends_in_cr():
            return []
        whole = b"".join(self._parts)
        # A carriage return at the end may be half of a CRLF.
        held = b"\r" if whole.endswith(b"\r") else b""
        lines = _lines(whole[:-1] if held else whole)
        self._parts = [lines.pop() + held]
        return self._events(lines)

    def close(self) -> list[bytes]:
        """What is left when the stream ends: servers leave out the last blank line."""
        lines = _lines(b"".join(self._parts))
        self._parts = []
        return self._events([*lines, b""])

    def _ends_in_cr(self) -> bool:
        return len(self._parts) > 1 and self._parts[-2].endswith(b"\r")

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        for line in lines:
            if self._first:
                line = line.removeprefix(_BOM)
                self._first = False
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line:
                if self._data:
                    events.append(b"\n".join(self._data))
                    self._data = []
            elif line == b"data":
                self._data.append(b"")
            elif not line.startswith((b":", b"event", b"id", b"retry")):
                self.strange = True
        return events


def _lines(raw: bytes) -> list[bytes]:
    if b"\r" in raw:
        raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return raw.split(b"\n")
