"""Runs the examples over REST against a stack that is up, and tells what happened and where to look."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from services.cli.errors import BadConfiguration
from services.cli.output import note, print_json_line
from services.cli.progress import ENDED
from services.cli.spans import format_ms

NAMES = ("data-flow", "foreach-http", "order-approval", "sub-flows", "montage-500")
FOLDER = Path(__file__).resolve().parents[3] / "examples"
PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.1
CALL_SECONDS = 60.0
PAGE = 1000
LONGEST_OUTPUT = 400  # characters shown

Json = Any


@dataclass(frozen=True, slots=True)
class Example:
    """One file of examples/ and what stands beside it."""

    name: str
    definition: Mapping[str, Json]
    input: Json  # `baseUrl`, where it has one, is the address of the stack that runs it
    expected: Mapping[str, Json]  # what its execution must show: mode, status, output, …


@dataclass(frozen=True, slots=True)
class Result:
    """How an example went. `deviations` are sentences; none: everything was as expected."""

    name: str
    execution: Mapping[str, Json]
    deviations: Sequence[str]


def load(name: str, base_url: str, folder: Path = FOLDER) -> Example:
    """Raises BadConfiguration where the examples are not at hand, as in an installed package."""
    try:
        definition = json.loads((folder / f"{name}.json").read_text())
        expected = json.loads((folder / f"{name}.expected.json").read_text())
        given = folder / f"{name}.input.json"
        value = json.loads(given.read_text()) if given.exists() else {}
    except OSError as error:
        raise BadConfiguration(f"the examples are not here: {error.filename}: {error.strerror}") from error
    if "baseUrl" in value:
        value["baseUrl"] = base_url
    return Example(name, definition, value, expected)


def check_at_hand() -> None:
    """Raises BadConfiguration unless all examples can be read."""
    for name in NAMES:
        load(name, "")


async def show_examples(base_url: str, as_json: bool) -> None:
    """Run one after another; what fails is told and stops nothing."""
    async with httpx.AsyncClient(base_url=base_url, timeout=CALL_SECONDS, trust_env=False) as client:
        for name in NAMES:
            example = load(name, base_url)
            try:
                result = await run_example(client, example)
            except (httpx.HTTPError, ExampleRefused, TimeoutError) as error:
                note(f"\nexample {name} could not run: {str(error) or type(error).__name__}")
                continue
            if as_json:
                print_json_line(
                    {
                        "type": "example",
                        "name": name,
                        "asExpected": not result.deviations,
                        "deviations": list(result.deviations),
                        "execution": {k: v for k, v in result.execution.items() if k != "steps"},
                    }
                )
            else:
                print("\n" + "\n".join(told(result, base_url)), flush=True)
    if not as_json:
        print(f"\nconsole: {base_url}/   API: {base_url}/docs", flush=True)


class ExampleRefused(Exception):
    """The gateway did not take it; the message is its answer."""


async def run_example(client: httpx.AsyncClient, example: Example) -> Result:
    """Start it, follow it until it ends or waits for a person, compare with what is expected.

    Raises ExampleRefused, httpx.HTTPError, TimeoutError.
    """
    body = {"workflow": example.definition, "input": example.input, "options": {"tags": ["example"]}}
    answer = await client.post("/api/workflow/run", json=body)
    if not answer.is_success:
        raise ExampleRefused(f"{answer.status_code} {answer.text}")
    execution = await settled(client, answer.json()["executionId"])
    deviations = deviations_of(execution, example.expected)
    if execution["status"] == "completed":
        events = await history(client, execution["executionId"])
        deviations += order_deviations(example.definition, events)
    return Result(example.name, execution, deviations)


async def settled(client: httpx.AsyncClient, execution_id: str) -> dict[str, Json]:
    """The execution once it has ended or waits for a person. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        answer = await client.get(f"/api/workflow/execution/{execution_id}")
        answer.raise_for_status()
        execution: dict[str, Json] = answer.json()
        if execution["status"] in (*ENDED, "waiting"):
            return execution
        if time.monotonic() > deadline:
            raise TimeoutError(f"{execution_id} is still {execution['status']} after {PATIENCE_SECONDS:g} s")
        await asyncio.sleep(POLL_SECONDS)


async def history(client: httpx.AsyncClient, execution_id: str) -> list[dict[str, Json]]:
    """All events so far."""
    events: list[dict[str, Json]] = []
    while True:
        after = events[-1]["sequence"] if events else 0
        answer = await client.get(
            f"/api/workflow/execution/{execution_id}/events",
            params={"afterSequence": after, "limit": PAGE},
        )
        answer.raise_for_status()
        page = answer.json()
        events += page["events"]
        if not page["events"] or events[-1]["sequence"] >= page["lastSequence"]:
            return events


def deviations_of(execution: Mapping[str, Json], expected: Mapping[str, Json]) -> list[str]:
    """One sentence for each expected field that the execution shows otherwise."""
    return [
        f"{field} is {shortened(execution.get(field))}, expected {shortened(value)}"
        for field, value in expected.items()
        if execution.get(field) != value
    ]


def order_deviations(definition: Mapping[str, Json], events: Sequence[Mapping[str, Json]]) -> list[str]:
    """Of a finished history: nodes outside loops that started twice, or before their parents were decided."""
    starts: dict[str, list[int]] = {}
    decided: dict[str, int] = {}
    for event in events:
        node = event.get("nodeId")
        if not isinstance(node, str) or event.get("iteration"):
            continue
        if event["type"] == "step.started":
            starts.setdefault(node, []).append(event["sequence"])
        elif event["type"] in ("step.completed", "step.failed", "step.skipped"):
            decided[node] = event["sequence"]
    twice = [f"{node} started {len(found)} times" for node, found in starts.items() if len(found) > 1]
    any_join = {node["id"] for node in definition["nodes"] if node.get("join", "all") != "all"}
    early = [
        f"{edge['target']} started before {edge['source']} was decided"
        for edge in definition.get("edges", ())
        if edge["target"] in starts and edge["target"] not in any_join
        if decided.get(edge["source"], starts[edge["target"]][0]) >= starts[edge["target"]][0]
    ]
    return twice + early


def told(result: Result, base_url: str) -> list[str]:
    """What happened, and where to look, in a few lines."""
    execution = result.execution
    execution_id = execution["executionId"]
    took = f"  {format_ms(execution['durationMs'])}" if "durationMs" in execution else ""
    lines = [f"{result.name}: {execution['status']}, {execution['mode']}{took}  {execution_id}"]
    if "complexity" in execution:
        lines.append(f"  why      {execution['complexity']['explanation']}")
    if execution.get("output") is not None:
        lines.append(f"  output   {shortened(execution['output'])}")
    if "error" in execution:
        lines.append(f"  error    {execution['error']['code']}: {execution['error']['message']}")
    verdict = "every step once, in order, result as expected" if not result.deviations else "NOT AS EXPECTED"
    if execution["status"] != "waiting" or result.deviations:
        lines.append(f"  checked  {verdict}")
    lines += [f"           {sentence}" for sentence in result.deviations[:5]]
    at = f"{base_url}/api/workflow/execution/{execution_id}"
    for step in execution.get("steps", ()):
        if step["status"] == "waiting":
            lines.append(f"  waits    {step['nodeId']}: {(step.get('waiting') or {}).get('title', '')}")
            answer = "-H 'content-type: application/json' -d '{\"approved\": true}'"
            lines.append(f"  answer   curl -X POST {at}/input/{step['nodeId']} {answer}")
            lines.append(f"           or: flow approve {execution_id} {step['nodeId']}")
    lines.append(f"  look     curl {at}")
    return lines


def shortened(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_OUTPUT else f"{text[:LONGEST_OUTPUT]} … ({len(text)} characters)"
