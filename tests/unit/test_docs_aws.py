"""Each row of the table of what is left between two calls names a test that there is."""

import re
from pathlib import Path

REPO = Path(__file__).parents[2]
PAGE = REPO / "docs" / "stores" / "aws.md"
ROW = re.compile(r'^\|.*\| \[(\d+)\]\(\.\./\.\./(tests/\S+\.py) "(test_\w+)"\) \|$', re.MULTILINE)


def test_every_window_between_two_calls_has_its_test() -> None:
    section = PAGE.read_text().partition("## Between two calls")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| after")]
    rows = ROW.findall(section)
    assert len(rows) == len(table) > 20, "each row names a test"
    assert [int(number) for number, _, _ in rows] == list(range(1, len(rows) + 1))
    for _, file, name in rows:
        assert re.search(rf"^(async )?def {name}\(", (REPO / file).read_text(), re.MULTILINE), f"{file}: {name}"
    assert len({name for _, _, name in rows}) == len(rows), "each its own"
