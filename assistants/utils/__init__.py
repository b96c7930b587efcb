"""Helpers below everything else: text, files that people write, keys, addresses, threads.

Names are imported when first used: most modules need one of them, and few the parsers.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
