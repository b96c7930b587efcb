"""The kernel that executes a report: this very Python, behind sockets of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any


def kernel_manager() -> type[Any]:
    """A kernel manager for nbclient.

    It starts the interpreter that runs now, whatever kernel of the name ``python3`` somebody has
    installed. Where there are Unix sockets it uses them: TCP ports are open to every user of the
    machine, and two reports at a time may pick the same one.
    """
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class Manager(AsyncKernelManager):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self._kernel_spec = KernelSpec(**get_kernel_dict())
            self._place = ""
            if os.name == "posix":
                # Short, because the path of a Unix socket holds about 100 characters.
                self._place = tempfile.mkdtemp(prefix="kernel-")
                self.transport = "ipc"
                self.connection_file = f"{self._place}/k.json"

        async def _async_cleanup_resources(self, restart: bool = False) -> None:
            await super()._async_cleanup_resources(restart=restart)
            if self._place and not restart:
                shutil.rmtree(self._place, ignore_errors=True)

        cleanup_resources = _async_cleanup_resources

    return Manager
