"""What a visitor sees of the graph: it is painted, so colours are read from its pixels."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

from tests.infra.stack import eventually

GRAPH = "document.querySelector('.graph')"

COLOUR = f"""(id) => {{
  const graph = {GRAPH}?.graph;
  const place = graph?.placeOf(id);
  if (!place) return null;
  const context = graph.above.getContext("2d");
  const right = [place.x + place.width - 5 * graph.camera.k, place.y + place.height / 2];
  const [x, y] = right.map((at) => Math.round(at * graph.ratio));
  const [red, green, blue] = context.getImageData(x, y, 1, 1).data;
  const words = ["pending", "running", "waiting", "completed", "failed", "cancelled"];
  const near = (word) => {{
    const tint = graph.palette[word].tint.match(/[\\d.]+/g).map(Number);
    const wanted = tint.length > 3 && tint[3] === 0 ? graph.palette.card.match(/[\\d.]+/g).map(Number) : tint;
    return Math.abs(wanted[0] - red) + Math.abs(wanted[1] - green) + Math.abs(wanted[2] - blue);
  }};
  return words.reduce((best, word) => (near(word) < near(best) ? word : best), words[0]);
}}"""


def wait_for_graph(page: Page) -> None:
    # Not wait_for_function: the page's policy forbids what it does.
    # What is laid out may wait for its size: until it is painted nothing has a place.
    painted = f"{GRAPH}?.dataset.laidOutMs !== undefined && {GRAPH}.graph.painted.all > 0"
    eventually(lambda: page.evaluate(painted), "the graph is laid out and painted")


def wait_for_colour(page: Page, node_id: str, status: str) -> None:
    """Returns when the pixels of a node have the colour of this status."""
    eventually(lambda: page.evaluate(COLOUR, node_id) == status, f"{node_id} looks {status}")


def place_of(page: Page, node_id: str) -> dict[str, float]:
    """Middle of a node, in pixels of the page."""
    place: dict[str, Any] = page.evaluate(
        f"""(id) => {{
          const box = {GRAPH}.getBoundingClientRect();
          const place = {GRAPH}.graph.placeOf(id);
          const y = box.y + place.y + Math.min(place.height / 2, 20);
          return {{x: box.x + place.x + place.width / 2, y}};
        }}""",
        node_id,
    )
    return place


def click_node(page: Page, node_id: str) -> None:
    place = place_of(page, node_id)
    page.mouse.click(place["x"], place["y"])
