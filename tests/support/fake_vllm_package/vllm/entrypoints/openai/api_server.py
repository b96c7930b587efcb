"""Stands where vLLM's server would, with children of its own, so that starting can be tested fast.

What it does is told by its ``--model``: ``good`` answers, ``never``
does not answer, ``beaten`` finds its port taken once, ``dies`` ends with the words of vLLM that
runs out of memory, and ``deaf`` ignores being told to end, as does its worker. ``slow`` waits for a
file ``go`` in the folder where it was started. The real one is tested in tests/on_vllm.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

METRICS = """\
# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig
vllm:cache_config_info{block_size="16",kv_cache_size_tokens="4096",num_gpu_blocks="256"} 1.0
vllm:num_requests_running{engine="0"} 0.0
"""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        key = f"Bearer {os.environ['VLLM_API_KEY']}"
        if self.path.startswith("/v1/") and self.headers["Authorization"] != key:
            self.reply(401, "{}")
            return
        pages = {
            "/health": "",
            "/metrics": METRICS,
            "/v1/models": json.dumps({"data": [{"id": NAME, "max_model_len": 1000}]}),
        }
        self.reply(200 if self.path in pages else 404, pages.get(self.path, ""))

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {os.environ['VLLM_API_KEY']}":
            self.reply(401, "{}")
            return
        said = {"role": "assistant", "content": f"{NAME} was asked {asked['model']}"}
        choice = {"index": 0, "message": said, "finish_reason": "stop"}
        self.reply(200, json.dumps({"model": NAME, "choices": [choice]}))

    def reply(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


reader = argparse.ArgumentParser()
reader.add_argument("--model")
reader.add_argument("--served-model-name")
reader.add_argument("--host")
reader.add_argument("--port", type=int)
known, rest = reader.parse_known_args()
kind, NAME = os.path.basename(known.model), known.served_model_name  # noqa: PTH119

print(f"INFO 11-22 10:00:00 [fake.py:1] Starting to load model {known.model} {rest}", flush=True)
if kind == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
# A worker; that of a deaf one ignores everything but the last word, as one that hangs on a GPU.
ignore = "import signal; signal.signal(15, 1)" if kind == "deaf" else "pass"
subprocess.Popen([sys.executable, "-S", "-c", f"{ignore}\nimport time; time.sleep(600)"])
if kind == "dies":
    print(
        f"key {os.environ['VLLM_API_KEY']}",
        "\x1b[31mtorch.OutOfMemoryError\x1b[0m: CUDA out of memory.",
    )
    sys.exit(1)
if kind == "beaten" and not os.path.exists("beaten"):  # noqa: PTH110
    open("beaten", "w").close()  # noqa: PTH123
    sys.exit("OSError: [Errno 98] Address already in use")
while kind == "slow" and not os.path.exists("go"):  # noqa: PTH110
    time.sleep(0.05)
while kind == "never":
    time.sleep(1)
ThreadingHTTPServer((known.host, known.port), Handler).serve_forever()
