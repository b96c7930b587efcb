"""A Python whose vLLM is the stand-in of tests/support/fake_vllm_package."""

from __future__ import annotations

import sys
from pathlib import Path

STAND_IN = Path(__file__).with_name("fake_vllm_package")


def python_with_vllm(folder: Path) -> Path:
    """A program in ``folder`` that behaves as this Python does, had it vLLM."""
    python = folder / "python-with-vllm"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{STAND_IN}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return python
