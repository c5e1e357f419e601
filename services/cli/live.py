"""The live tree of a run on a terminal; plain lines on a pipe."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from services.cli.progress import (
    DECIDED,
    Frame,
    NodeProgress,
    RunProgress,
    event_detail,
    instant,
    step_name,
)
from services.cli.spans import format_ms, milliseconds_between

SYMBOLS = {
    "pending": ("○", "dim"),
    "running": ("●", "cyan"),
    "waiting": ("◷", "yellow"),
    "completed": ("✓", "green"),
    "failed": ("✗", "bold red"),
    "skipped": ("–", "dim"),
    "cancelled": ("⊘", "magenta"),
    "paused": ("‖", "yellow"),
}
MOST_HINTS = 3
CHROME_LINES = 5 + MOST_HINTS  # head, bar, hints, the line about what is folded, and room for the prompt
FOLD_ORDER = ("failed", "waiting", "running", "cancelled", "completed", "pending", "skipped")


def now_utc() -> datetime:
    return datetime.now(UTC)


class LiveView:
    """Shows a run while it is fed; keeps the last picture when it ends."""

    def __init__(self, run: RunProgress, console: Console, now: Callable[[], datetime] = now_utc) -> None:
        self._run = run
        self._console = console
        self._now = now
        self._lock = threading.Lock()  # Live draws from a thread of its own
        self._live = Live(
            console=console, get_renderable=self.picture, refresh_per_second=10, transient=False
        )

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def apply(self, frame: Frame) -> None:
        with self._lock:
            self._run.apply(frame)

    def picture(self) -> RenderableType:
        with self._lock:
            return picture(self._run, self._now(), max(5, self._console.height - CHROME_LINES))


def picture(run: RunProgress, now: datetime, most_rows: int) -> RenderableType:
    """Head, tree and bar of a run at an instant; at most `most_rows` nodes, the important ones."""
    if run.newest_at and (run.ended or now < run.newest_at):
        now = run.newest_at
    shown, folded = chosen_nodes(list(run.nodes.values()), most_rows)
    parts: list[RenderableType] = [head_line(run, now), tree(shown, now)]
    if folded:
        parts.append(Text("  … " + summary(folded), style="dim"))
    asked = list(run.waiting_for_people())[:MOST_HINTS]
    parts += [Text(f"  answer it: {answer_command(run, *step)}", style="yellow") for step in asked]
    parts.append(bar(run))
    return Group(*parts)


def chosen_nodes(nodes: Sequence[NodeProgress], most: int) -> tuple[list[NodeProgress], list[NodeProgress]]:
    """(shown in their order, folded): when there is no room for all, what needs eyes goes first."""
    if len(nodes) <= most:
        return list(nodes), []
    ranked = sorted(range(len(nodes)), key=lambda n: FOLD_ORDER.index(nodes[n].status))
    kept = set(ranked[:most])
    return [n for i, n in enumerate(nodes) if i in kept], [n for i, n in enumerate(nodes) if i not in kept]


def answer_command(run: RunProgress, node_id: str, iteration: Sequence[int] = ()) -> str:
    """The command that answers a step which waits for somebody."""
    path = ",".join(map(str, iteration))
    which = f" --iteration {path}" if path else ""
    if node_id in run.nodes and run.nodes[node_id].type == "human.approval":
        return f"flow approve {run.execution_id} {node_id}{which}"
    return f"flow input {run.execution_id} {node_id} JSON{which}"


def summary(nodes: Iterable[NodeProgress]) -> str:
    counts: dict[str, int] = {}
    for node in nodes:
        counts[node.status] = counts.get(node.status, 0) + 1
    return f"{sum(counts.values())} more: " + ", ".join(
        f"{count} {status}" for status, count in counts.items()
    )


def head_line(run: RunProgress, now: datetime) -> Text:
    symbol, style = SYMBOLS[run.status]
    line = Text.assemble((f"{symbol} {run.status}", style), "  ", (run.name, "bold"))
    if run.mode:
        line.append(f"  {run.mode}", style="dim")
    if run.created_at:
        line.append(f"  {format_ms(milliseconds_between(run.created_at, now))}", style="dim")
    line.append(f"  {run.execution_id}", style="dim")
    return line


def tree(nodes: Sequence[NodeProgress], now: datetime) -> Table:
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)  # what is left after the others
    for node in nodes:
        symbol, style = SYMBOLS[node.status]
        duration = node.duration_ms(now)
        table.add_row(
            Text.assemble("  " * (node.depth + 1), (symbol, style), " ", node.id),
            node.type,
            "" if duration is None else format_ms(duration),
            Text(remarks(node), style="red" if node.status == "failed" else "dim"),
        )
    return table


def remarks(node: NodeProgress) -> str:
    """Iterations, attempts, and what its newest step says."""
    parts = []
    if any(node.steps):  # an iteration path that is not empty: it is inside a loop
        decided = sum(count for status, count in node.counts.items() if status in DECIDED)
        parts.append(f"{decided}/{len(node.steps)} iterations")
    if node.attempts > 1:
        parts.append(f"attempt {node.attempts}")
    if node.detail:
        parts.append(node.detail)
    return " · ".join(parts)


def bar(run: RunProgress) -> Table:
    done, known = run.done_steps, run.known_steps
    if run.status == "completed":
        known = done
    line = Table.grid(padding=(0, 2))
    line.add_row(
        Text(" "),
        ProgressBar(total=max(known, 1), completed=done if known else int(run.ended), width=40),
        f"{done}/{known} steps",
    )
    return line


def event_line(frame: Frame) -> str:
    """`12:00:00.123    7  step.completed    order[2,0]  → true`, without spaces at the end."""
    at = instant(frame.get("time"))
    clock = at.strftime("%H:%M:%S.%f")[:-3] if at else "--:--:--.---"
    kind, name = frame.get("type", ""), step_name(frame)
    return f"{clock} {frame.get('sequence', 0):>5}  {kind:<18}  {name:<20}  {event_detail(frame)}".rstrip()
