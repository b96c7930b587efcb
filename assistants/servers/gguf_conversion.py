"""The embedded model's weights in a form that vLLM reads, so that it can be tried offline."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from assistants.clients import EMBEDDED_MODELS, weights_path
from assistants.errors import ServerStartError
from assistants.servers import logs
from assistants.utils import api_keys, cache_root

_SECONDS = 900.0


def is_embedded(source: str) -> bool:
    """Return whether a model's name is that of an embedded one, and no folder's."""
    return source in EMBEDDED_MODELS and not Path(source).exists()


def as_safetensors(name: str, python: str) -> Path:
    """Return a folder with an embedded model's weights; made once, which takes a minute.

    They are what the embedded model computes with, its 4 bits written out as bfloat16.

    Parameters
    ----------
    name
        As after ``local:``.
    python
        One that has vLLM, and with it torch and transformers.

    Raises
    ------
    MissingDependencyError
        If the weights are not on this machine.
    ServerStartError
        If they could not be turned into safetensors.
    """
    gguf = weights_path(name)
    folder = cache_root() / "safetensors" / gguf.parent.name / name
    if (folder / "config.json").is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        program = Path(__file__).with_name("gguf_to_safetensors.py")
        try:
            done = subprocess.run(  # noqa: S603 - the Python that the user named, our own program
                [python, "-P", str(program), str(gguf), f"{temporary}/{name}"],
                env={**api_keys.without_secrets(os.environ), "HF_HUB_OFFLINE": "1"},
                capture_output=True,
                check=False,
                timeout=_SECONDS,
            )
            failed, output = bool(done.returncode), done.stderr.decode("utf-8", "replace")
        except subprocess.TimeoutExpired:
            failed, output = True, f"It took more than {_SECONDS:g} s."
        if failed:
            raise ServerStartError(
                f"The weights of {name} could not be made ready for vLLM.",
                fix=f"Beside vLLM it takes `{python} -m pip install gguf accelerate`.",
                log=logs.last_lines(logs.redacted(output)),
            )
        if not folder.exists():  # somebody else may have been faster
            shutil.move(f"{temporary}/{name}", folder)
    return folder
