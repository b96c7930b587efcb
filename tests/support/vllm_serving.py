"""Starting real servers for the tests, through the command that everybody uses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from support.commands import Done, run, start

CONTEXT = 2048


@dataclass(frozen=True)
class Served:
    """A server that runs: ``url`` ends in ``/v1``, and it is asked for ``vllm:{model}``."""

    url: str
    key: str
    model: str
    log: Path
    group: int
    supervisor: int
    shown: str = ""


class Machine:
    """Where the tests start servers, apart from those of whoever runs the tests."""

    def __init__(self, weights: Path, folder: Path) -> None:
        self.weights = weights
        self.folder = folder
        self.environment = {
            "ASSISTANTS_CACHE": str(folder / "cache"),
            "ASSISTANTS_VLLM_PYTHON": sys.executable,
            "VLLM_CPU_KVCACHE_SPACE": "1",
        }

    def serve(
        self, name: str, *more: str, template: Path | None = None, dtype: str = "bfloat16"
    ) -> Served:
        """Start a server that stays, and wait until it answers; ``more`` is for vLLM itself."""
        ours = ["--detach", "--chat-template", str(template)] if template else ["--detach"]
        done = run(*self._line(name, dtype, ours, more), timeout=900, **self.environment)
        assert done.code == 0, f"{done.out}\n{done.err}"
        return self.served(name, done.out + done.err)

    def begin(self, name: str, *more: str) -> subprocess.Popen[str]:
        """Start a server in the foreground, and do not wait."""
        return start(*self._line(name, "bfloat16", [], more), env=self.environment)

    def run(self, *line: str) -> Done:
        """A command on this machine."""
        return run(*line, timeout=900, cwd=self.folder, **self.environment)

    def entries(self) -> list[dict[str, Any]]:
        """What is written down of the servers that were started."""
        files = (self.folder / "cache" / "servers").glob("*/*.json")
        return [json.loads(file.read_text()) for file in files]

    def served(self, name: str, shown: str = "") -> Served:
        """The running server of a name."""
        (entry,) = [each for each in self.entries() if each["model"] == name]
        return Served(
            url=f"{entry['url']}/v1",
            key=entry["key"],
            model=name,
            log=Path(entry["log"]),
            group=entry["group"],
            supervisor=entry["supervisor"],
            shown=shown,
        )

    def close(self) -> None:
        """End every server."""
        self.run("stop", "--all")

    def stop(self, served: Served) -> None:
        """End a server; nothing of it is left."""
        assert self.run("stop", served.model).code == 0
        assert processes(served.group) == []

    def _line(self, name: str, dtype: str, ours: list[str], more: Sequence[str]) -> list[str]:
        line = ["serve", str(self.weights), "--served-name", name, "--dtype", dtype]
        line += ["--max-model-len", str(CONTEXT), *ours]
        return [*line, "--", "--enforce-eager", *more]  # compiling would take minutes


def processes(session: int) -> list[psutil.Process]:
    """The living processes of a session."""
    found = []
    for process in psutil.process_iter():
        try:
            stopped = process.status() == psutil.STATUS_ZOMBIE
            if not stopped and os.getsid(process.pid) == session:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found
