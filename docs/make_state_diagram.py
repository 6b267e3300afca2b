"""Draws the diagram of a delivery's states in architecture.md from the one table of transitions.

    python docs/make_state_diagram.py [--check]

With --check nothing is written; it exits with 1 where page and table differ.
"""

import sys
from pathlib import Path

from longstop.model.delivery import TRANSITIONS, State, Trigger

PAGE = Path(__file__).parent / "architecture.md"
BEGIN, END = "<!-- states: begin -->", "<!-- states: end -->"


def diagram() -> str:
    """The table as a Mermaid state diagram, in a code block."""
    rows = [f"    {state} --> {after}: {trigger}" for (state, trigger), after in TRANSITIONS.items()]
    # A delivery begins scheduled, or, in quarantine, dead; it is over when only a person can move it.
    beginnings = [f"    [*] --> {State.SCHEDULED}: accepted", f"    [*] --> {State.DEAD}: quarantined"]
    by_people = {Trigger.REPLAY, Trigger.DISCARD}
    ends = [s for s in State if {t for state, t in TRANSITIONS if state is s} <= by_people and s is not State.DEAD]
    return "\n".join(["```mermaid", "stateDiagram-v2", *beginnings, *rows, *(f"    {s} --> [*]" for s in ends), "```"])


def drawn(page: str) -> str:
    """The page with the diagram of today between its markers. Raises ValueError where it has no markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name}: expected {BEGIN} and {END}; put them where the diagram belongs")
    return f"{before}{BEGIN}\n\n{diagram()}\n\n{END}{after}"


def main() -> int:
    """Write the page, or say whether it is up to date."""
    page = PAGE.read_text(encoding="utf-8")
    new = drawn(page)
    if "--check" in sys.argv[1:]:
        if page != new:
            sys.stderr.write(f"{PAGE.name} is behind the table of transitions; run python {Path(__file__).name}\n")
        return int(page != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
