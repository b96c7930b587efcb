"""A real browser, and a real JupyterLab to point it at."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Playwright, sync_playwright

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--disable-dev-shm-usage",
]  # fmt: skip
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

ENVIRONMENT = "environment.json"
"""A file beside a notebook: the environment variables of its kernel."""

KERNEL_PID = "kernel.pid"
"""A file beside a notebook: the process of its kernel."""

STARTUP = f"""\
import json, os, pathlib
_file = pathlib.Path("{ENVIRONMENT}")
if _file.is_file():
    os.environ.update(json.loads(_file.read_text()))
    pathlib.Path("{KERNEL_PID}").write_text(str(os.getpid()))
del _file
"""
"""Run by every kernel when it starts, also when it is restarted."""


def find_browser(playwright: Playwright) -> str:
    """Return the Chromium on PATH, or Playwright's own; the tests fail without one, never skip."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    own = playwright.chromium.executable_path
    assert Path(own).is_file(), "There is no Chromium: run `sh tests/support/install-browser.sh`."
    return own


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a headless Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(playwright), args=FLAGS)
        yield browser
        browser.close()


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab. Each test module has a folder of its own in ``root``."""

    url: str
    token: str
    root: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def notebook_url(self, path: str) -> str:
        """Return the address of a notebook, in a workspace of its own."""
        return f"{self.url}/lab/workspaces/{secrets.token_hex(4)}/tree/{path}?token={self.token}"

    def make_folder(self, name: str) -> Path:
        """Make an empty folder for notebooks."""
        folder = self.root / f"{name}-{next(self._numbers)}"
        folder.mkdir()
        return folder

    def shut_down_kernels(self) -> None:
        """End every kernel."""
        for session in self._call("GET", "sessions"):
            self._call("DELETE", f"sessions/{session['id']}")

    def _call(self, method: str, path: str) -> Any:
        request = urllib.request.Request(
            f"{self.url}/api/{path}", method=method,
            headers={"Authorization": f"token {self.token}"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=60) as response:
            body = response.read()
        return json.loads(body) if body else None


@contextmanager
def jupyter_lab(root: Path) -> Iterator[Lab]:
    """Run JupyterLab on a loopback port that it picks, with settings of its own."""
    token = secrets.token_hex(16)
    home = root / ".jupyter-home"
    own = {
        name: str(home / name.lower())
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR",
                     "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR", "XDG_CONFIG_HOME")
    }  # fmt: skip
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        "--port=0", "--expose-app-in-browser", f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={root}",
    ]  # fmt: skip
    _write_settings(Path(own["JUPYTERLAB_SETTINGS_DIR"]))
    startup = Path(own["IPYTHONDIR"]) / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00-environment.py").write_text(STARTUP)
    with (root / "lab.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **own})
        try:
            runtime = Path(own["JUPYTER_RUNTIME_DIR"]) / f"jpserver-{process.pid}.json"
            yield Lab(_wait_for_url(runtime, token, process, root / "lab.log"), token, root)
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:  # it has outlived this once
                process.kill()
                process.wait()


def _write_settings(settings: Path) -> None:
    """Write settings that let a test see everything, and nothing pop up.

    JupyterLab leaves cells that are out of sight out of the page, and asks to fetch news.
    """
    for name, content in {
        "notebook-extension/tracker": '{"windowingMode": "none"}',
        "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
    }.items():
        file = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)


def _wait_for_url(runtime: Path, token: str, process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until the server has written its file and answers; return its address."""
    end = time.monotonic() + 180
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            url = f"http://127.0.0.1:{json.loads(runtime.read_text())['port']}"
            urllib.request.urlopen(f"{url}/api/status?token={token}", timeout=10).close()
        except (OSError, ValueError):
            time.sleep(0.2)
        else:
            return url
    raise AssertionError(log.read_text())


if __name__ == "__main__":  # for install-browser.sh
    with sync_playwright() as running:
        print(find_browser(running))
