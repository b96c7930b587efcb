"""``assistants plugins``: the plug-ins of other packages, and those that are left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from assistants.cli.console import out, say, table
from assistants.errors import AssistantsError, PluginError
from assistants.models import PROVIDER_PLUGINS
from assistants.personas import PERSONA_PLUGINS
from assistants.scoring import RUBRIC_PLUGINS, SCORER_PLUGINS
from assistants.utils import LeftOut, Plugin, PluginGroup, are_plugins_enabled

GROUPS: tuple[PluginGroup, ...] = (
    PERSONA_PLUGINS,
    PROVIDER_PLUGINS,
    SCORER_PLUGINS,
    RUBRIC_PLUGINS,
)
"""The kinds of plug-ins, in the order of the list."""


def plugins() -> int:
    """List the plug-ins of other packages, and those that are left out, with the reason.

    Each is imported, to see whether it works.
    """
    if not are_plugins_enabled():
        out.print("Plug-ins are switched off.")
        return 0
    usable: list[Plugin] = []
    left_out: list[LeftOut] = []
    for group in GROUPS:
        found, unnamed = group.sort_out()
        broken = list(_broken(group, found.values()))
        without = {entry.plugin for entry in broken}
        usable += [plugin for plugin in found.values() if plugin not in without]
        left_out += [*broken, *unnamed, *group.of_project()]
    if usable:
        rows = [[p.kind, p.name, p.package, p.version] for p in usable]
        out.print(table(["kind", "name", "package", "version"], rows))
    else:
        out.print("No package that is installed here has plug-ins that can be used.")
    if left_out:
        rows = [[p.kind, p.name[:64], p.package, p.version, why] for p, why in left_out]
        out.print()
        out.print(table(["left out", "name", "package", "version", "because"], rows))
    say("\n`assistants --no-plugins COMMAND` runs a command without any.")
    return 0


def _broken(group: PluginGroup, plugins: Iterable[Plugin]) -> Iterator[LeftOut]:
    for plugin in plugins:
        try:
            group.check(plugin)
        except PluginError as error:
            yield LeftOut(plugin, error.reason)
        except AssistantsError as error:
            yield LeftOut(plugin, str(error))
