"""docs/console.md against the console's source: its keys and its pages."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "console.md").read_text()
SOURCES = [
    path.read_text()
    for path in sorted((ROOT / "console" / "src").rglob("*"))
    if path.suffix in (".ts", ".svelte") and ".test." not in path.name
]


def section(heading: str) -> str:
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_every_key_is_in_the_table_and_no_other() -> None:
    named = set(re.findall(r"`([^`]+)`", "\n".join(re.findall(r"^\| (`.*?) \|", section("Keys"), re.MULTILINE))))
    bound = {key.replace("Escape", "Esc") for text in SOURCES for key in re.findall(r"\bkeys: '([^']+)'", text)}
    goes = re.findall(r"label: '[^']+', key: '(.)'", "\n".join(SOURCES))
    assert len(goes) > 5
    assert named == bound | {f"g {key}" for key in goes}


def test_every_page_is_in_the_table_and_no_other() -> None:
    named = set(re.findall(r"^\| [A-Z][^|]*\| `/([a-z-]*)`?", section("What is where"), re.MULTILINE))
    entries = re.findall(r"page: '[^']+', path: '/([^']*)', label: '([^']+)'", "\n".join(SOURCES))
    assert named == {path for path, _ in entries}
    assert {label for _, label in entries} == set(
        re.findall(r"^\| ([A-Z][^|]*?) \|", section("What is where"), re.MULTILINE)
    )
