"""The child process of a private vLLM server; this file is the whole program.

It runs vLLM's own API server in this process, and ends it, with every process that vLLM has
started, once its parent is gone: vLLM's engine does not notice that by itself. A session of its
own keeps Ctrl-C away and makes one signal enough for all of them.

It imports nothing of this package, so that any Python that has vLLM can run it as a file::

    python -P private_worker.py PARENT LOG [options of vLLM's server]
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

LOOK_S = 0.5


def main() -> None:
    """Serve until the parent is gone, or vLLM ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started it
    parent, log = int(sys.argv[1]), sys.argv[2]
    del sys.argv[1:3]
    threading.Thread(target=_end_with, args=(parent, log), daemon=True).start()
    runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__", alter_sys=True)


def _end_with(parent: int, log: str) -> None:
    """End the whole process group once ``parent`` is gone, and remove the log nobody will read."""
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    if os.path.exists(log):  # noqa: PTH110 - few imports, fast start
        os.unlink(log)  # noqa: PTH108
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
