"""Techniques: what an assistant does with a question besides having a persona.

Names are imported on first use, so that importing this folder costs next to nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
