"""What is on the screen: what happened, line by line, and below it on a terminal the figures, alive.

Without a terminal the figures are a line now and then. Everything fits into 80 columns.
"""

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from longstop.demo.reconcile import Report
from longstop.ports import Clock

LINE_EVERY_MS = 2_000
"""How often figures are printed where nothing can be redrawn."""
DOWN = "DOWN"
"""The condition of what is not there."""
_BAR_COLUMNS = 40
_MAX_COLUMNS = 80


@dataclass(frozen=True, slots=True)
class Figures:
    """How things stand."""

    sent: int
    accepted: int
    delivered: int
    retrying: int
    """Scheduled or under way."""
    dead: int
    gateway: str = "starting"
    destination: str = "up"

    def line(self) -> str:
        """All of it in one line."""
        return (
            f"sent {self.sent}  accepted {self.accepted}  delivered {self.delivered}  "
            f"retrying {self.retrying}  dead {self.dead}"
        )


class View:
    """The show's face. A context manager: on leaving it the live part is gone and the lines stay.

    total: how many events will be sent, which is the length of the bars.
    """

    def __init__(self, console: Console, total: int, clock: Clock) -> None:
        self._console = console
        self._total = total
        self._clock = clock
        self._began_at_ms = clock.now_ms()
        self._line_at_ms = 0
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def seconds(self) -> float:
        """How long the show has been going on."""
        return (self._clock.now_ms() - self._began_at_ms) / 1000

    def note(self, text: str, style: str = "") -> None:
        """Say what happened."""
        line = Text(f"{self.seconds:5.1f} s  ", "dim") + Text(text, style)
        # A wrapped line would be one too many on a small terminal; a file has room for all of it.
        self._console.print(line, no_wrap=True, overflow="ellipsis", soft_wrap=not self._console.is_terminal)

    def show(self, figures: Figures) -> None:
        """Show how things stand."""
        if self._live is not None:
            self._live.update(self._block(figures), refresh=True)
        elif self._clock.now_ms() >= self._line_at_ms:
            self._line_at_ms = self._clock.now_ms() + LINE_EVERY_MS
            self.note(figures.line())

    def report(self, report: Report) -> None:
        """The final table, and the verdict."""
        table = Table.grid(padding=(0, 2))
        table.add_column(min_width=23)
        table.add_column(justify="right")
        table.add_column(style="dim")
        for label, number, remark in report.rows():
            table.add_row(label, Text(str(number), _style(label, number)), remark)
        self._console.print()
        self._console.print(Padding(table, (0, 2)), width=min(self._console.width, _MAX_COLUMNS))
        self._console.print()
        self._verdict(report)

    def _verdict(self, report: Report) -> None:
        if report.exit_status == 0:
            self._console.print(
                f"  Nothing is missing: {report.after.delivered} of {report.after.sent} arrived. "
                f"({report.seconds:.0f} s)",
                style="bold green",
            )
            return
        for what, ids in (("missing", report.after.missing), ("not accepted", report.after.given_up)):
            for id_ in ids:
                self._console.print(f"  {what}: {id_}", style="red", soft_wrap=True)
        self._console.print("  Something is missing.", style="bold red")

    def _block(self, figures: Figures) -> RenderableType:
        return Padding(Group(self._chain(figures), Text(), self._bars(figures)), (1, 2, 0, 2))

    def _chain(self, figures: Figures) -> RenderableType:
        """The three parties with their condition: sender → gateway → destination."""
        chain = Table.grid(padding=(0, 3))
        # As wide as they will ever be, so that nothing moves but the figures.
        for width in (18, 1, 12, 1, 11):
            chain.add_column(width=width)
        arrow = Text("→", "dim")
        chain.add_row("Open Messaging", arrow, "Longstop", arrow, "destination")
        condition = Text(f"{figures.sent} of {self._total} sent", "dim")
        chain.add_row(condition, "", _condition(figures.gateway), "", _condition(figures.destination))
        return chain

    def _bars(self, figures: Figures) -> RenderableType:
        bars = Table.grid(padding=(0, 2))
        bars.add_column(width=9)
        bars.add_column(width=_BAR_COLUMNS)
        bars.add_column(justify="right", width=5)
        for label, number, colour in (
            ("accepted", figures.accepted, "cyan"),
            ("delivered", figures.delivered, "green"),
            ("retrying", figures.retrying, "yellow"),
            ("dead", figures.dead, "red"),
        ):
            bar = ProgressBar(self._total, number, complete_style=colour, finished_style=colour)
            bars.add_row(label, bar, Text(str(number), colour if number else "dim"))
        return bars


def _condition(text: str) -> Text:
    return Text(text, "bold red" if text == DOWN else "dim")


def _style(label: str, number: int) -> str:
    """Green or red for the numbers that decide, nothing for those that only tell."""
    if label in ("missing after replay", "not accepted"):
        return "bold red" if number else "green"
    return "bold green" if label == "delivered" else "bold"
