"""A loopback server that answers with one attack after the other."""

from __future__ import annotations

import json
from typing import Any

from support.faulty_replies import Step, http
from support.faulty_server import Request
from support.hostile_texts import ATTACKS
from support.slow_server import SlowServer

AFTER = "\n\nThat was it, and now come words that have nothing to hide. " + "Light spreads. " * 9


class HostileServer(SlowServer):
    """Answers with one attack after the other; below ``/rude`` with errors that say them all.

    Every fifth, if it is short, comes two words at a time, with more text behind it: the page
    shows a part of it, and then all of it, while the answer still goes on.
    """

    def __init__(self) -> None:
        super().__init__(self._next, every=0.02, at_once=1_000)
        self.count = 0

    def _next(self, request: dict[str, Any]) -> str:
        self.count += 1
        attack = ATTACKS[self.count % len(ATTACKS)]
        slowly = self.count % 5 == 0 and len(attack) < 1_000
        self.at_once = 2 if slowly else 1_000
        return attack + AFTER if slowly else attack

    def _steps(self, request: Request) -> list[Step] | Any:
        if not request.path.startswith("/rude"):
            return super()._steps(request)
        said = "\n".join(each for each in ATTACKS if len(each) < 300).encode("utf-8", "replace")
        error = {"error": {"message": said.decode(), "code": ATTACKS[0], "type": ATTACKS[1]}}
        return [http(json.dumps(error).encode(), "400 Bad Request")]
