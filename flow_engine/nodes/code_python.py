from __future__ import annotations

import ast
import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, field_validator

from flow_engine.expressions import Template
from flow_engine.nodes.contract import Completed, NodeConfig, NodeContext, NodeError, NodeType, Outcome
from flow_engine.nodes.deferred import DeferredValue
from flow_engine.payload import JsonValue
from flow_engine.sandbox.python import Bounds, Returned, run_python

SETTING = "FLOW_CODE_PYTHON"
TYPICAL_CODE_MS = 150.0
DEFAULT_SECONDS = 60.0
CODES = {
    "raised": "CODE_FAILED",
    "memory": "CODE_LIMIT",
    "killed": "CODE_LIMIT",
    "flooded": "CODE_LIMIT",
    "notConfined": "CODE_NOT_CONFINED",
}


class CodePythonConfig(NodeConfig):
    code: DeferredValue = Field(
        description="Python that defines `main(input)`. No expressions: pass what it needs as `input`."
    )
    input: JsonValue = Field(default=None, description="What `main` is called with; any JSON.")
    memory_mb: int = Field(default=256, ge=32, le=4096, description="Memory that it may use, in MiB.")
    cpu_seconds: int = Field(default=10, ge=1, le=600, description="Processor time that it may use.")

    @field_validator("code")
    @classmethod
    def _is_code(cls, template: Template) -> Template:
        text = template.render({}) if template.is_constant else None
        if not isinstance(text, str):
            raise ValueError("must be Python text without expressions; write `$${` for a literal `${`")
        try:
            defined = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ValueError(f"is no Python: {error}") from None
        if "main" not in defined:
            raise ValueError("must define a function `main(input)`")
        return template


class CodePython(NodeType[CodePythonConfig]):
    """Runs Python in a process of its own, which has no environment, no network and no files.

    Off unless the operator sets `FLOW_CODE_PYTHON=1`, on executors and workers. The code defines
    `main(input)`; what that returns, as JSON, is the output. It has Python's standard library and nothing
    else; what it prints is thrown away. Memory, processor time, output (1 MiB) and, by the node's `timeoutMs`
    (a minute by default), time are limited. It cannot start threads or processes. docs/code.md tells what
    this protects from, and what it does not.
    """

    type = "code.python"
    title = "Python"
    config_model = CodePythonConfig
    example: ClassVar[dict[str, Any]] = {
        "code": "import statistics\n\ndef main(input):\n    return {'median': statistics.median(input)}\n",
        "input": [3, 1, 2],
    }
    setting = SETTING
    deferred: ClassVar[Mapping[str, frozenset[str]]] = {"code": frozenset()}
    error_codes: ClassVar[Mapping[str, str]] = {
        "CODE_FAILED": "The code raised an exception; `details.line` is where.",
        "CODE_LIMIT": "It used more memory, processor time or output than it may, or ended its process.",
        "CODE_NOT_CONFINED": "This machine cannot confine code: that needs Linux with seccomp.",
        "CODE_PYTHON_OFF": "This worker does not run code; `FLOW_CODE_PYTHON=1` turns it on.",
        "TIMEOUT": "It took longer than a minute, and the node has no `timeoutMs` of its own.",
    }

    def typical_ms(self, config: Mapping[str, Any]) -> float:
        return TYPICAL_CODE_MS

    async def run(self, context: NodeContext, config: CodePythonConfig) -> Outcome:
        if not context.services.runs_code:
            raise NodeError("CODE_PYTHON_OFF", f"this worker does not run code; {SETTING}=1 turns it on")
        bounds = Bounds(config.memory_mb << 20, config.cpu_seconds)
        seconds = None if context.remaining_ms is not None else DEFAULT_SECONDS
        try:
            async with asyncio.timeout(seconds):
                result = await run_python(config.code.render({}), config.input, bounds)
        except TimeoutError:
            raise NodeError("TIMEOUT", f"the code took longer than {DEFAULT_SECONDS:g} s") from None
        if isinstance(result, Returned):
            return Completed(result.output)
        place: dict[str, Any] = {} if result.line is None else {"line": result.line}
        raise NodeError(CODES.get(result.kind, "CODE_FAILED"), result.message, **place)
