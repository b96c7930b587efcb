"""A workbench that measures how a system prompt changes the answers of a language model.

Names are imported on first use, so that ``import assistants`` costs next to nothing.
"""

from importlib import import_module
from typing import Any

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def load_ipython_extension(shell: Any) -> None:
    """Give the shell ``%%ask``, ``%personas``, ``%models`` and completion of their names.

    IPython calls this for ``%load_ext assistants``.
    """
    import_module("assistants.widgets").load_magics(shell)
