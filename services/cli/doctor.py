"""`flow doctor`: connects to everything there should be, and says how to mend what is not as it should be.

What the executor sees (database, Redis, workers, queue, disk) it says itself; the rest is seen from here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import redis
from redis.exceptions import RedisError

from flow_engine.environment import EnvironmentReader, WrongSettings
from flow_engine.v1 import operations_pb2 as pb
from services.cli.errors import ExitCode, explained
from services.cli.settings import DEFAULT_HTTP_ADDRESS, Address, ClientSettings, data_dir

if TYPE_CHECKING:
    from services.gateway.queue_documents import DiagnosisDocument

SECONDS = 10.0
MOST_SKEW_SECONDS = 1.0


def check(name: str, state: pb.CheckState, finding: str, remedy: str = "") -> pb.Check:
    return pb.Check(name=name, state=state, finding=finding, remedy=remedy)


def examine(http: str | None) -> list[pb.Check]:
    """In the order in which to mend. Raises BadConfiguration for what cannot even be read."""
    address = Address.parse(http or os.environ.get("FLOW_HTTP_ADDRESS") or DEFAULT_HTTP_ADDRESS, "--http")
    executor = executor_checks(ClientSettings.read())
    found = [*executor, gateway_check(address.connectable)]
    if not any(one.name == "redis" for one in executor):  # nobody else has looked
        found.append(redis_check())
    return found


def executor_checks(settings: ClientSettings) -> list[pb.Check]:
    """Whether it answers, whether its clock is right, and all that it sees itself."""
    from services.cli.client import connected

    sent = datetime.now(UTC)
    began = time.perf_counter()
    try:
        with connected(settings) as executor:
            answer = executor.operations.Diagnose(pb.DiagnoseRequest(), timeout=SECONDS)
    except grpc.RpcError as error:
        said = explained(error, settings.grpc_address)
        remedy = "start one with `flow executor` or `flow up`, or correct FLOW_GRPC_ADDRESS"
        return [check("executor", pb.CHECK_STATE_ERROR, said.message, remedy)]
    seconds = time.perf_counter() - began
    ours = version("flow-execution-engine")
    finding = f"{answer.executor_id} at {settings.grpc_address}, version {answer.version}"
    found = check("executor", pb.CHECK_STATE_OK, finding)
    if answer.version != ours:
        found = check(
            "executor", pb.CHECK_STATE_WARNING, f"{finding}, and this is {ours}", "update one of them"
        )
    # It answered somewhere between then and now.
    skew = (answer.executor_time.ToDatetime(UTC) - sent).total_seconds()
    return [found, clock_check(skew, seconds), *answer.checks]


def clock_check(skew: float, took: float) -> pb.Check:
    """skew: seconds that the executor's answer was made after we asked, by both clocks. took: all of it."""
    off = min(0.0, skew) if skew < 0 else max(0.0, skew - took)
    if abs(off) <= MOST_SKEW_SECONDS:
        return check("executorClock", pb.CHECK_STATE_OK, "the executor's clock agrees with ours")
    direction = "ahead of" if off > 0 else "behind"
    finding = f"the executor's clock is {abs(off):.1f} s {direction} ours"
    return check("executorClock", pb.CHECK_STATE_WARNING, finding, "let NTP keep both clocks")


def gateway_check(address: Address) -> pb.Check:
    url = f"http://{address}/readyz"
    remedy = "start one with `flow gateway` or `flow up`, or correct FLOW_HTTP_ADDRESS"
    try:
        answer = httpx.get(url, timeout=SECONDS, trust_env=False)
        said = answer.json()
    except httpx.HTTPError as error:
        return check("gateway", pb.CHECK_STATE_ERROR, f"none answers at {url}: {error}", remedy)
    except ValueError:
        return check("gateway", pb.CHECK_STATE_ERROR, f"what answers at {url} is no gateway", remedy)
    if answer.is_success:
        return check("gateway", pb.CHECK_STATE_OK, f"ready at http://{address}")
    why = said.get("detail", answer.status_code) if isinstance(said, dict) else answer.status_code
    return check("gateway", pb.CHECK_STATE_ERROR, f"not ready: {why}", "see to its executor")


def redis_check() -> pb.Check:
    """By our own environment: the executor could not tell."""
    try:
        read = EnvironmentReader(os.environ)
        url = read.redis_url(data_dir())
        read.refuse_if_wrong()
        with redis.Redis.from_url(url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS) as server:
            server.ping()
    except WrongSettings as error:
        said = str(error).splitlines()[-1].strip()
        return check("redis", pb.CHECK_STATE_WARNING, f"nobody knows where it is: {said}", "set REDIS_URL")
    except (RedisError, OSError) as error:
        remedy = "start the server that REDIS_URL names, or correct it"
        return check("redis", pb.CHECK_STATE_ERROR, f"Redis does not answer: {error}", remedy)
    return check("redis", pb.CHECK_STATE_OK, "answers")


def exit_code(checks: Sequence[pb.Check]) -> ExitCode:
    """0: all is well, perhaps with warnings; 3: there is no executor; 1: something else is wrong."""
    wrong = [one.name for one in checks if one.state == pb.CHECK_STATE_ERROR]
    if "executor" in wrong:
        return ExitCode.UNREACHABLE
    return ExitCode.FAILED if wrong else ExitCode.OK


def document(checks: Sequence[pb.Check]) -> DiagnosisDocument:
    from services.gateway.queue_documents import diagnosis_document

    answer: Any = pb.DiagnoseResponse(checks=checks, version=version("flow-execution-engine"))
    return diagnosis_document(answer)
