"""Puts the browser console into the wheel: hatchling runs this when Longstop is installed from its source.

console/build.py says how. An editable install builds it too, since it is served from the source tree.
"""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STATIC = "src/longstop/edges/operators/static"


class ConsoleHook(BuildHookInterface):  # type: ignore[type-arg]
    """Builds the console unless LONGSTOP_CONSOLE=0, and has it shipped although git ignores it."""

    def dependencies(self) -> list[str]:
        """A Node.js, where one is needed and the machine has none."""
        build = _build(self.root)
        if not build.wanted() or build.is_fresh() or build.node() is not None:
            return []
        return [build.NODE_WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build. A build that fails ends the installation, and says how to do without."""
        build = _build(self.root)
        if not build.wanted():
            return
        try:
            if build.build():
                self.app.display_info("console: built")
        except build.BuildError as error:
            self.app.abort(str(error))
        if version != "editable":
            build_data["artifacts"].append(f"{STATIC}/**")


def _build(root: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("longstop_console_build", Path(root) / "console" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
