"""The child process that runs an embedded model; this file is the whole program.

It reads one line of JSON from stdin, starts a llama.cpp server on a loopback port that the system
chooses, and answers with one line of JSON on stdout: ``{"url": ...}`` or ``{"error": ...}``. Then
it lives for as long as its parent does, and no longer.

It imports nothing of this package, so that it starts fast and may be run as a file.
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
    # Ctrl-C reaches every process of a terminal; whether the model stops is the parent's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever native code prints cannot be mistaken for the answer
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_leave_with, args=(order["parent"],), daemon=True).start()
    try:
        server = _serve(order)
        said = {"url": server.listening_address}
    except Exception as error:
        server, said = None, {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(said), file=answer, flush=True)
    if server is not None:
        sys.stdin.read()  # returns when the last writer of the pipe is gone
    # llama.cpp's own way down waits for answers in flight; nobody is left to read them.
    os._exit(0)


def _serve(order: dict[str, Any]) -> Any:
    # OpenMP threads spin while they wait. On two busy cores, two of them were seen to make 3 to 12
    # tokens a second, against 12 to 46 when they sleep; the runtime reads this on import.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = order["gguf"]
    params.model_alias = {order["name"]}  # otherwise replies name a path on this machine
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = order["threads"]
        cpu.poll = 0
    params.n_threads_http = order["slots"] + 2
    params.n_parallel = order["slots"]
    params.n_ctx = order["slots"] * order["context"]  # shared out evenly: one slot cannot starve
    params.n_predict = order["longest"]
    params.n_gpu_layers = 0
    params.fit_params = False
    params.cache_ram_mib = 0
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


def _leave_with(parent: int) -> None:
    """Exit once the parent is gone, even if a process it forked still holds the pipe open."""
    while os.name != "posix" or os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


if __name__ == "__main__":
    main()
