"""How fast the console is in a real browser: showing a graph of 495 nodes, following its run while it is
dragged about, and moving in one of 2,000.

A lost move is one that the graph did not take. Frames and delays hang on what else the machine does; the
bounds are what a person notices.

python -m benchmarks.console
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks.stage import running_stack
from tests.infra.stack import Stack, eventually

MONTAGE = Path(__file__).parents[1] / "examples/montage-500.json"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SHOWN_SECONDS = 2.0
UPDATES_PER_SECOND = 30
DRAG_SECONDS = 3.0

SHOWN = """() => {
  const host = document.querySelector(".graph");
  return host?.graph?.painted.all > 0 && host.dataset.laidOutMs !== undefined;
}"""
RECORD = """() => {
  const graph = document.querySelector(".graph").graph;
  const began = performance.now();
  const record = window.record = {frames: 0, worst: 0, delays: [], began, last: began};
  const frame = () => {
    const now = performance.now();
    record.worst = Math.max(record.worst, now - record.last);
    record.last = now;
    record.frames += 1;
    record.running = requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  document.querySelector(".graph").addEventListener("pointermove", (event) =>
    requestAnimationFrame(() => record.delays.push(performance.now() - event.timeStamp)));
}"""
READ = """() => {
  const {frames, worst, delays, began, running} = window.record;
  cancelAnimationFrame(running);
  const seconds = (performance.now() - began) / 1000;
  delays.sort((a, b) => a - b);
  return {frames: frames / seconds, worst, delay: delays[Math.floor(delays.length / 2)] ?? 0, seconds};
}"""
CAMERA = "document.querySelector('.graph').graph.camera.x"
EVENTS = "Number(document.querySelector('[data-tab=events] .count').textContent)"


def main() -> int:
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        print(f"no browser is installed: none of {', '.join(BROWSERS)}")
        return 0
    with running_stack("sqlite") as stack, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1360, "height": 820})
        page.goto(stack.base_url)
        broken = not followed(page, stack)
        broken |= not moved(page, stack)
        browser.close()
        # Its event loop counts as running in this thread, and closing the stack needs one of its own.
        playwright.stop()
    return int(broken)


def followed(page: Page, stack: Stack) -> bool:
    workflow: dict[str, Any] = json.loads(MONTAGE.read_text())
    for node in workflow["nodes"]:
        node["config"]["durationMs"] = 120
    workflow["maxParallel"] = 12
    seconds = shown(page, stack, workflow)
    before = page.evaluate(EVENTS)
    page.evaluate(RECORD)
    lost = drag(page)
    seen = page.evaluate(READ)
    updates = (page.evaluate(EVENTS) - before) / seen["seconds"]
    print(f"495 nodes: laid out and drawn {seconds:.2f} s after the address (bound {SHOWN_SECONDS:g} s)")
    print(
        f"  followed {updates:.0f} events a second while dragged (bound {UPDATES_PER_SECOND}); "
        + figures(seen, lost)
    )
    return seconds < SHOWN_SECONDS and updates >= UPDATES_PER_SECOND and not lost


def moved(page: Page, stack: Stack) -> bool:
    nodes = [{"id": f"n{n}", "type": "data.set", "config": {"values": {"n": n}}} for n in range(2000)]
    edges = [{"source": f"n{n - 50}", "target": f"n{n}"} for n in range(50, 2000)]
    seconds = shown(page, stack, {"id": "thousands", "nodes": nodes, "edges": edges})
    eventually(
        lambda: page.locator("[data-run-status]").get_attribute("data-run-status") == "completed", "the end"
    )
    page.evaluate(RECORD)
    lost = drag(page)
    print(f"2,000 nodes: laid out and drawn after {seconds:.2f} s; " + figures(page.evaluate(READ), lost))
    return not lost


def shown(page: Page, stack: Stack, workflow: dict[str, Any]) -> float:
    """Seconds until the graph of a run that has just begun is on the screen."""
    execution_id = stack.run(workflow, mode="queued", headers={"Prefer": "respond-async"})["executionId"]
    page.goto(f"{stack.base_url}/#/stats")
    page.get_by_role("heading", name="Stats").wait_for()
    started = time.perf_counter()
    page.goto(f"{stack.base_url}/#/executions/{execution_id}")
    eventually(lambda: page.evaluate(SHOWN), "the graph is drawn")
    return time.perf_counter() - started


def drag(page: Page) -> int:
    """Drags the graph to and fro; by how many pixels it did not follow."""
    box = page.locator(".graph").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 10, y)
    first = page.evaluate(CAMERA)
    at, step, until = 10, 5, time.perf_counter() + DRAG_SECONDS
    while time.perf_counter() < until:
        step = -step if abs(at + step) > 150 else step
        at += step
        page.mouse.move(x + at, y)
    page.mouse.up()
    moved = float(page.evaluate(CAMERA)) - float(first)
    return abs(round(moved - (at - 10)))


def figures(seen: dict[str, float], lost: int) -> str:
    return (
        f"{seen['frames']:.0f} frames a second, the longest {seen['worst']:.0f} ms, "
        f"a move is drawn after {seen['delay']:.0f} ms, {lost} px of moves lost"
    )


if __name__ == "__main__":
    sys.exit(main())
