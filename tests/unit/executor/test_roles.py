"""Who may call what: the table is complete, and what is not in it is closed."""

from __future__ import annotations

from google.protobuf.descriptor_pool import Default
from grpc_health.v1.health_pb2 import DESCRIPTOR as HEALTH
from grpc_reflection.v1alpha.reflection_pb2 import DESCRIPTOR as REFLECTION

from services.executor.access.roles import INCLUDES, ROLES, RPCS, may, methods_of, rule_of
from services.executor.server import NAMES


def served() -> set[str]:
    """Full names of all RPCs that the server answers."""
    pool = Default()
    own = {f"{name}/{method.name}" for name in NAMES for method in pool.FindServiceByName(name).methods}
    beside = {
        f"{service.full_name}/{method.name}"
        for file in (HEALTH, REFLECTION)
        for service in file.services_by_name.values()
        for method in service.methods
    }
    return own | beside


def test_the_table_names_every_rpc_and_no_other() -> None:
    assert {f"{service}/{name}" for service, rules in RPCS.items() for name in rules} == served()


def test_what_is_not_in_the_table_is_closed_to_everybody() -> None:
    for method in ("/flow_engine.v1.ExecutionService/Forget", "/x/y", "", "/", "ExecutionService"):
        assert not any(may(role, rule_of(method)) for role in ROLES)


def test_roles_are_a_ladder_with_workers_beside_it() -> None:
    viewer, operator, author, worker, admin = (set(methods_of(role)) for role in ROLES)
    assert viewer < operator < author < admin
    assert worker < admin
    assert {method.split("/")[0] for method in worker - viewer} == {
        "flow_engine.v1.WorkerService",
        "flow_engine.v1.SecretResolutionService",
    }
    assert set(ROLES) == set(INCLUDES)


def test_nobody_is_asked_who_it_is_for_health_callbacks_and_webhooks_alone() -> None:
    open_to_all = {
        f"{service}/{name}" for service, rules in RPCS.items() for name, rule in rules.items()
        if rule.least == "anyone"
    }  # fmt: skip
    assert open_to_all == {
        "flow_engine.v1.ExecutionService/SubmitCallback",
        "flow_engine.v1.TriggerService/DeliverWebhook",
        "grpc.health.v1.Health/Check",
        "grpc.health.v1.Health/Watch",
        "grpc.health.v1.Health/List",
    }


def test_a_viewer_changes_nothing() -> None:
    rules = [(name, rule) for rules in RPCS.values() for name, rule in rules.items()]
    assert not [name for name, rule in rules if rule.audited and may("viewer", rule)]
