"""The console's types are those of what the API shows now."""

import subprocess
import sys
from pathlib import Path

from acceptance.needs import absent

CONSOLE = Path(__file__).parents[2] / "console"


def test_the_types_are_of_what_the_api_shows(tmp_path: Path) -> None:
    if not (CONSOLE / "node_modules" / "openapi-typescript").exists():
        absent("not installed: openapi-typescript (make console-check brings it)")
    made = tmp_path / "openapi.ts"
    subprocess.run([sys.executable, str(CONSOLE / "build.py"), "types", str(made)], check=True)
    kept = (CONSOLE / "src" / "api" / "openapi.ts").read_text()
    assert made.read_text() == kept, "the API shows something else: make console-types, then make console-check"
