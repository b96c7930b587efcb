"""Configurations of promptfoo, and what OpenAI's Evals export, as experiments of ours."""

from __future__ import annotations

from assistants.design.promptfoo.importer import Imported, import_promptfoo

__all__ = ["Imported", "import_promptfoo"]
