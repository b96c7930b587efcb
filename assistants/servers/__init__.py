"""Servers of our own: what GPUs there are, what a model needs, which goes where, start and stop."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
