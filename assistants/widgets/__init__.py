"""Live widgets for notebooks, the HTML of values, and the recording of conversations.

Names are imported on first use: recording a conversation does not need anywidget.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
