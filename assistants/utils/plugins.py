"""Plug-ins: personas, providers, scorers and rubrics that other installed packages bring.

A package offers them as entry points. They are listed from the metadata of installed packages,
which imports none of them; a plug-in is imported when something of its name is asked for.

The folder that somebody works in may be a stranger's clone. It is on the import path of notebooks
and scripts, and yet its metadata are not listed, and its modules are not taken for a plug-in's.
"""

from __future__ import annotations

import json
import os
import re
import site
import sys
import sysconfig
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from assistants.errors import AssistantsError, FileError, PluginError, UsageError
from assistants.utils.config_files import NAME_PATTERN, read_text
from assistants.utils.text import truncate_line

if TYPE_CHECKING:
    from importlib.metadata import Distribution

NO_PLUGINS = "ASSISTANTS_NO_PLUGINS"
"""Environment variable that leaves all plug-ins out, unless it is empty or 0."""


class PluginWarning(UserWarning):
    """A plug-in that is left out, and the reason."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """An entry point of an installed package; nothing is imported before ``load``.

    Attributes
    ----------
    kind
        The word for such a thing: persona, provider, scorer, rubric.
    value
        The place of the object: ``module:object``.
    source_folder
        The folder of its code, where the package is installed in editable mode.
    """

    kind: str
    name: str
    value: str
    package: str
    version: str
    source_folder: str = field(default="", repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.kind} {truncate_line(self.name, 64)!r} of {self.package} {self.version}"

    @property
    def source(self) -> str:
        """The package it comes from, as a table of files names it."""
        return f"{self.package} {self.version} (plug-in)"

    def as_dict(self) -> dict[str, str]:
        """Return it as a manifest records it."""
        names = ("kind", "name", "package", "version")
        return {name: str(getattr(self, name)) for name in names}

    def load(self) -> Any:
        """Import the module and return the object.

        Raises
        ------
        PluginError
            If that fails in whichever way, or the module is one of the folder worked in.
        """
        from importlib.metadata import EntryPoint

        try:
            self._check_place()
            return EntryPoint(self.name, self.value, "").load()
        except PluginError:
            raise
        except (Exception, SystemExit) as error:  # its module may raise anything while it loads
            raise self.error(_describe(error)) from error

    def load_function(self) -> Callable[..., Any]:
        """Import the module and return the function.

        Raises
        ------
        PluginError
            Also if the object is none.
        """
        function = self.load()
        if not callable(function):
            raise self.error(f"{self.value} is no function, but {type(function).__name__}")
        return function  # type: ignore[no-any-return]

    def call(
        self, expected: Any, args: Sequence[Any] = (), settings: Mapping[str, Any] | None = None
    ) -> Any:
        """Call the function, and return its result, which is an ``expected``.

        Raises
        ------
        PluginError
            If it raises anything, or returns something else.
        UsageError
            If it refuses the ``settings``, which somebody has written.
        """
        function = self.load_function()
        try:
            result = function(*args, **(settings or {}))
            is_expected = isinstance(result, expected)
        except (Exception, SystemExit) as error:
            if settings and isinstance(error, UsageError):
                raise
            raise self.error(_describe(error)) from error
        if not is_expected:
            raise self.error(f"it returned {type(result).__name__}, not {expected.__name__}")
        return result

    def error(self, reason: str) -> PluginError:
        """Return the error that says why it cannot be used."""
        return PluginError(str(self), self.package, truncate_line(reason, 250))

    def _check_place(self) -> None:
        """Refuse a module of the folder worked in, which comes before those of packages."""
        from importlib.util import find_spec

        module = self.value.partition(":")[0].partition(".")[0].strip()
        spec = find_spec(module) if module.isidentifier() else None
        if spec is None:
            return  # the import says so
        # A namespace has no file of its own: a part of it may lie in the folder worked in.
        places = [spec.origin] if spec.has_location else spec.submodule_search_locations or ()
        for place in filter(None, places):
            path = Path(os.path.realpath(place))
            if self.source_folder and path.is_relative_to(self.source_folder):
                continue
            entries = {os.path.realpath(entry or os.curdir) for entry in sys.path}
            containing = [entry for entry in entries if path.is_relative_to(entry)]
            if containing and _is_of_project(max(containing, key=len)):
                raise self.error(f"the folder worked in has a module {module!r} of its own")


class LeftOut(NamedTuple):
    """A plug-in that is not used, and the reason."""

    plugin: Plugin
    reason: str


@dataclass(frozen=True)
class PluginGroup:
    """The plug-ins of one kind.

    Attributes
    ----------
    group
        The group of their entry points.
    built_in
        Returns the names that are taken by the package itself.
    check
        Raises ``PluginError`` unless a plug-in can be used; it imports the plug-in.
    """

    kind: str
    group: str
    built_in: Callable[[], Collection[str]]
    check: Callable[[Plugin], object] = Plugin.load_function

    def find(self, name: str) -> Plugin | None:
        """Return the plug-in of that name, if there is one that may be used."""
        return self.usable().get(name)

    def usable(self) -> dict[str, Plugin]:
        """Return plug-ins by name, without importing them; warn of those that are left out."""
        usable, left_out = self.sort_out()
        for entry in left_out:
            warn_left_out(*entry)
        return usable

    def sort_out(self) -> tuple[dict[str, Plugin], list[LeftOut]]:
        """Return the plug-ins by name, and those whose names cannot be used."""
        plugins = self._installed()
        taken = set(self.built_in()) if plugins else set()
        counts = Counter(plugin.name for plugin in plugins)
        usable: dict[str, Plugin] = {}
        left_out: list[LeftOut] = []
        for plugin in plugins:
            if not NAME_PATTERN.fullmatch(plugin.name):
                reason = "a name is 1 to 64 of a-z, 0-9, '.', '_', '-', not starting with a dot"
            elif plugin.name in taken:
                reason = f"the name is taken by a {self.kind} that is built in"
            elif counts[plugin.name] > 1:
                others = sorted({p.package for p in plugins if p.name == plugin.name})
                reason = f"the name is taken more than once, by {' and '.join(others)}"
            else:
                usable[plugin.name] = plugin
                continue
            left_out.append(LeftOut(plugin, reason))
        return usable, left_out

    def of_project(self) -> list[LeftOut]:
        """Return the plug-ins that lie in the folder worked in, which are never used."""
        installed = {(plugin.name, plugin.value) for plugin in self._installed()}
        entries = [os.curdir, *(entry for entry in sys.path if _is_of_project(entry))]
        return [
            LeftOut(plugin, "it lies in the folder worked in, and is not installed")
            for plugin in dict.fromkeys(_uninstalled(self.kind, self.group, map(Path, entries)))
            if (plugin.name, plugin.value) not in installed  # in editable mode
        ]

    def _installed(self) -> tuple[Plugin, ...]:
        if not are_plugins_enabled():
            return ()
        return _installed(self.kind, self.group, _package_folders())


def warn_left_out(plugin: Plugin, reason: str) -> None:
    """Warn of a plug-in that is left out."""
    warnings.warn(f"{plugin} is left out: {reason.rstrip('.')}.", PluginWarning, stacklevel=2)


def are_plugins_enabled() -> bool:
    """Return whether plug-ins are used at all."""
    return os.environ.get(NO_PLUGINS, "") in ("", "0")


@contextmanager
def without_plugins() -> Iterator[None]:
    """Leave all plug-ins out, here and in the processes that are started meanwhile."""
    before = os.environ.get(NO_PLUGINS)
    os.environ[NO_PLUGINS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[NO_PLUGINS]
        else:
            os.environ[NO_PLUGINS] = before


# -- where packages are installed ------------------------------------------------------------------


def _package_folders() -> tuple[tuple[str, int], ...]:
    """Return the folders where packages are installed, and when each was last changed, in ns."""
    chosen = [entry for entry in dict.fromkeys(sys.path) if not _is_of_project(entry)]
    return tuple((entry, _changed(entry)) for entry in chosen)


def _changed(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116 - an entry may be no path at all
    except (OSError, ValueError):
        return 0


def _is_of_project(entry: str) -> bool:
    """Return whether an entry of the import path belongs to the folder worked in.

    That is the working directory with all below it, but for an environment of Python's own, and
    the folder of the script that runs.
    """
    try:
        path = Path(os.path.realpath(entry or os.curdir))
    except (OSError, ValueError):  # the working directory was removed; a NUL in the entry
        return True
    if path in _site_folders():
        return False
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if script is not None and path == Path(os.path.realpath(script)).parent:
        return True
    try:
        return path.is_relative_to(os.path.realpath(os.curdir))
    except OSError:
        return False


@lru_cache(maxsize=1)
def _site_folders() -> frozenset[Path]:
    """Return the folders that this Python installs packages into."""
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    own = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    return frozenset(Path(os.path.realpath(f)) for f in [*own, *site.getsitepackages(), *user])


@lru_cache(maxsize=32)
def _installed(kind: str, group: str, folders: tuple[tuple[str, int], ...]) -> tuple[Plugin, ...]:
    """Return the entry points of a group, of all packages whose metadata lie in ``folders``.

    Of a package that is there twice the first counts, as it does for an import.
    """
    from importlib.metadata import distributions

    found: dict[str, list[Plugin]] = {}
    for distribution in distributions(path=[folder for folder, _ in folders]):
        entries = list(_section(_read(distribution, "entry_points.txt"), group))
        if entries:
            package, version = _field(distribution, "Name"), _field(distribution, "Version")
            folder = _source_folder(distribution)
            found.setdefault(
                re.sub(r"[-_.]+", "-", package).lower(),
                [Plugin(kind, name, value, package, version, folder) for name, value in entries],
            )
    return tuple(plugin for _, plugins in sorted(found.items()) for plugin in plugins)


def _uninstalled(kind: str, group: str, folders: Iterable[Path]) -> Iterator[Plugin]:
    """Yield the entry points in metadata of a project's folder; the files may be hostile."""
    for folder in folders:
        for path in sorted(folder.glob("*.*-info/entry_points.txt")):
            package, _, rest = path.parent.stem.partition("-")
            with suppress(FileError):
                for name, value in _section(read_text(path, limit=1_000_000), group):
                    yield Plugin(kind, name, value, truncate_line(package), truncate_line(rest))


def _section(text: str, group: str) -> Iterator[tuple[str, str]]:
    """Yield the names and values of a group; a line without a value has an empty one."""
    if group not in text:
        return
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif section == group and line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()


def _source_folder(distribution: Distribution) -> str:
    """Return the folder that an editable installation leads to, or ``""``."""
    try:
        origin = json.loads(_read(distribution, "direct_url.json") or "{}")
        if origin["dir_info"]["editable"]:
            return os.path.realpath(unquote(urlsplit(origin["url"]).path))
    except (ValueError, KeyError, TypeError, OSError):
        pass
    return ""


def _read(distribution: Distribution, name: str) -> str:
    try:
        return distribution.read_text(name) or ""
    except (OSError, ValueError):  # unreadable, or not UTF-8
        return ""


def _field(distribution: Distribution, name: str) -> str:
    """Return a field of the metadata as one short line."""
    try:
        metadata = distribution.metadata
        value = metadata[name] if name in metadata else ""  # noqa: SIM401 - its type has no get
    except (OSError, ValueError, TypeError):  # there are no metadata, or they are not UTF-8
        value = ""
    return truncate_line(str(value), 100) or "unknown"


def _describe(error: BaseException) -> str:
    if isinstance(error, AssistantsError):
        return str(error)
    try:
        message = str(error)
    except Exception:  # it may be as broken as what raised it
        message = ""
    kind = type(error).__name__
    return f"{kind}: {message}" if message else kind
