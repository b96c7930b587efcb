from . import registry as registry

__all__ = ["registry"]
