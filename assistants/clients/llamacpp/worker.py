"""The child process that runs an embedded model; this file is the whole program.

It reads one line of JSON from stdin, starts a llama.cpp server on a loopback port that the system
chooses, and writes one line of JSON to stdout: ``{"url": ...}`` or ``{"error": ...}``. It ends
when its parent ends.

It imports nothing of this package, so that it starts fast and can be run as a file.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import Any


def main() -> None:
    """Serve until the parent is gone."""
    # Ctrl-C reaches every process of a terminal; the parent decides whether the model stops.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what native code prints must not be taken for the answer
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_exit_with, args=(order["parent"],), daemon=True).start()
    try:
        server = _serve(order)
        reply = {"url": server.listening_address}
    except Exception as error:
        server, reply = None, {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(reply), file=answer, flush=True)
    if server is not None:
        sys.stdin.read()  # returns when the last writer of the pipe has closed it
    # A regular exit of llama.cpp waits for answers in flight, which nobody would read.
    os._exit(0)


def _serve(order: dict[str, Any]) -> Any:
    # OpenMP threads spin while they wait. On two busy cores, two threads made 3 to 12 tokens/s,
    # and 12 to 46 when they sleep instead; the runtime reads this variable on import.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = order["gguf"]
    params.model_alias = {order["name"]}  # otherwise replies contain a path of this machine
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = order["threads"]
        cpu.poll = 0
    params.n_threads_http = order["slots"] + 2
    params.n_parallel = order["slots"]
    params.n_ctx = order["slots"] * order["context"]  # divided evenly: no slot can starve
    params.n_predict = order["longest"]
    params.n_gpu_layers = 0
    params.fit_params = False
    params.cache_ram_mib = order["prompt_cache_mib"]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [order["key"]]
    params.cors_origins = ""
    params.cors_credentials = False
    params.ui = False
    params.endpoint_slots = False
    params.endpoint_props = False
    params.endpoint_metrics = False
    params.verbosity = -1
    return xllamacpp.Server(params)


def _exit_with(parent: int) -> None:
    """Exit when the parent ends, even if a process it forked still holds the pipe open."""
    while os.name != "posix" or os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


if __name__ == "__main__":
    main()
