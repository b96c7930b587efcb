"""Logs of servers: each in a file of its own, and read for the person who waits."""

from __future__ import annotations

import os
import re
from pathlib import Path

from assistants.utils import api_keys, cache_root, escape_control_chars, truncate_line

_TAIL = 64_000
_LINES = 15

_STAGES = (
    ("Application startup complete|Available routes", "opening its port"),
    ("Capturing CUDA graph|Graph capturing", "capturing graphs"),
    ("KV cache size|KV cache memory", "setting up the cache"),
    ("torch.compile|Dynamo bytecode|Compiling|Warming up|backbone", "compiling and warming up"),
    ("Loading weights took", "measuring memory"),
    ("Starting to load model|Loading safetensors", "loading weights"),
    ("Initializing a V1 LLM engine", "starting the engine"),
)
"""Texts of log lines and the stage each shows; the furthest stage first."""

_ADVICE = (
    (
        "address already in use",
        "The port was taken in the meantime: start again, without `--port`.",
    ),
    (
        "CUDA out of memory|OutOfMemoryError|less than desired GPU memory utilization"
        "|No available memory for the cache blocks|larger than the available KV cache memory"
        "|estimated maximum model length",
        "There is too little memory: a shorter `--max-model-len`, another "
        "`--gpu-memory-utilization`, a `--quantization`, or more `--gpus`. `assistants plan` says "
        "what fits.",
    ),
    (
        "GatedRepoError|401 Client Error|403 Client Error",
        "The weights are not open: accept their licence on the hub and set HF_TOKEN.",
    ),
    (
        "RepositoryNotFoundError|is not a local folder and is not a valid model identifier"
        "|LocalEntryNotFoundError|Can't load the configuration|Repo id must be",
        "There are no weights of that name: give a folder, or a name on the Hugging Face hub.",
    ),
    (
        "No module named 'vllm'|No module named vllm",
        "That Python has no vLLM: name one that has with `--python`.",
    ),
    (
        "unrecognized arguments|invalid choice|expected one argument",
        "vLLM does not know one of the options behind `--`.",
    ),
    (
        "Failed to infer device type|No CUDA GPUs are available|no NVIDIA driver",
        "This build of vLLM finds no GPU that it can use.",
    ),
)
"""The most frequent failures, recognised by the log, since nothing else shows them."""


def create_log(name: str) -> Path:
    """Create an empty log for a server; only its owner can read it."""
    folder = cache_root() / "servers" / "logs"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{name}.log"
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return path


def read_tail(path: str | Path) -> str:
    """Return the end of a log, redacted."""
    try:
        with Path(path).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            raw = file.read(_TAIL)
    except OSError:
        return ""
    return redacted(raw.decode("utf-8", "replace"))


def redacted(text: str) -> str:
    """Return text without keys, colours, and what would drive a terminal."""
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", api_keys.redact(text))
    return escape_control_chars(plain.replace("\r", "\n"))


def stage(text: str) -> str:
    """Return what a server does now, by what it wrote."""
    return next((stage for pattern, stage in _STAGES if re.search(pattern, text)), "importing vLLM")


def last_line(text: str) -> str:
    """Return the last line that it wrote, shortened."""
    lines = [line for line in text.splitlines() if line.strip()]
    return truncate_line(_plain(lines[-1]), 100) if lines else ""


def last_lines(text: str) -> str:
    """Return the last lines that it wrote."""
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(truncate_line(line, 200) for line in lines[-_LINES:])


def is_port_taken(text: str) -> bool:
    """Return whether a server ended because somebody else had its port."""
    return "address already in use" in text.lower()


def advice(text: str) -> str:
    """Return what to do about a failed start, if that is known."""
    return next((fix for pattern, fix in _ADVICE if re.search(pattern, text, re.IGNORECASE)), "")


def _plain(line: str) -> str:
    """Return a line of vLLM's log without who wrote it and when."""
    return re.sub(
        r"^(\([^)]*\)\s*)?(INFO|WARNING|ERROR|DEBUG) [\d-]+ [\d:]+ (\[[^]]*\]\s*)?", "", line
    )
