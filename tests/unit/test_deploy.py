"""deploy/kubernetes, checked as far as that goes without a cluster to run it."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from services.executor.figures import figures

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "deploy" / "kubernetes"
SCHEMA = json.loads((Path(__file__).parent / "schemas" / "kubernetes.json").read_text())
Manifest = dict[str, Any]


@cache
def manifests() -> list[Manifest]:
    kustomization = yaml.safe_load((BASE / "kustomization.yaml").read_text())
    files = [BASE / name for name in kustomization["resources"]]
    assert {path.name for path in files} == {path.name for path in BASE.iterdir()} - {"kustomization.yaml"}
    return [one for path in files for one in yaml.safe_load_all(path.read_text())]


def of_kind(kind: str) -> list[Manifest]:
    return [one for one in manifests() if one["kind"] == kind]


def named(one: Manifest) -> str:
    return f"{one['kind']}/{one['metadata']['name']}"


def problems(manifest: Manifest) -> list[str]:
    schema = {"$ref": f"#/$defs/{SCHEMA['kinds'][manifest['kind']]}", "$defs": SCHEMA["$defs"]}
    found = Draft202012Validator(schema).iter_errors(manifest)
    return [f"{problem.json_path}: {problem.message}" for problem in found]


KNOWN = [one for one in manifests() if one["kind"] in SCHEMA["kinds"]]
POD_SPECS = {
    one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in of_kind("Deployment") + of_kind("Job")
}


@pytest.mark.parametrize("manifest", KNOWN, ids=named)
def test_each_object_keeps_to_the_schema_of_its_kind(manifest: Manifest) -> None:
    assert problems(manifest) == []


def test_the_schema_finds_mistakes() -> None:
    wrong = json.loads(json.dumps(of_kind("Deployment")[0]))
    wrong["spec"]["template"]["spec"]["containers"][0]["redinessProbe"] = {}
    assert problems(wrong)


def test_only_keda_s_kinds_are_beyond_the_schema() -> None:
    others = {one["apiVersion"].partition("/")[0] for one in manifests() if one not in KNOWN}
    assert others == {"keda.sh"}


@pytest.mark.parametrize("name", POD_SPECS)
def test_pods_run_as_nobody_and_write_nowhere_but_to_their_volumes(name: str) -> None:
    spec = POD_SPECS[name]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["automountServiceAccountToken"] is False
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"].keys() == {"memory"}
        volumes = {volume["name"] for volume in spec["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget", "NetworkPolicy"])
def test_what_selects_pods_finds_some(kind: str) -> None:
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in of_kind("Deployment")]
    for one in of_kind(kind):
        spec = one["spec"]
        selector = spec.get("podSelector", spec.get("selector"))
        assert selector.get("matchLabels", selector) in labels, named(one)


def test_ports_are_named_where_they_are_used() -> None:
    for service in of_kind("Service"):
        (container,) = POD_SPECS[service["metadata"]["name"]]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert {port["targetPort"]: port["port"] for port in service["spec"]["ports"]} == ports


def test_every_variable_is_one_that_the_services_read() -> None:
    sources = [*(ROOT / "services").rglob("*.py"), *(ROOT / "flow_engine").rglob("*.py")]
    text = "\n".join(path.read_text() for path in sources)
    for name, spec in POD_SPECS.items():
        for variable in spec["containers"][0]["env"]:
            assert f'"{variable["name"]}"' in text, f"{name}: {variable['name']}"


def test_grace_outlasts_what_services_give_their_runs() -> None:
    for name in ("flow-executor", "flow-worker", "flow-gateway"):
        assert POD_SPECS[name]["terminationGracePeriodSeconds"] > 20 + 10


def test_workers_scale_by_a_figure_that_executors_serve() -> None:
    (scaled,) = of_kind("ScaledObject")
    assert scaled["spec"]["scaleTargetRef"]["name"] == "flow-worker"
    (trigger,) = scaled["spec"]["triggers"]
    unused: Any = None
    served = {figure.name for figure in figures(unused, unused, unused)}
    assert trigger["metadata"]["valueLocation"] in served
    slots = {one["name"]: one.get("value") for one in POD_SPECS["flow-worker"]["containers"][0]["env"]}
    assert trigger["metadata"]["targetValue"] == slots["FLOW_WORKER_CONCURRENCY"]
    (authentication,) = of_kind("TriggerAuthentication")
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    assert (
        "replicas"
        not in next(one for one in of_kind("Deployment") if one["metadata"]["name"] == "flow-worker")["spec"]
    )


def test_secrets_are_the_ones_that_the_readme_makes() -> None:
    readme = (ROOT / "deploy" / "README.md").read_text()
    made = set(re.findall(r"--from-literal=(\w+)=", readme))
    used = {
        variable["valueFrom"]["secretKeyRef"]["key"]
        for spec in POD_SPECS.values()
        for variable in spec["containers"][0]["env"]
        if "valueFrom" in variable
    }
    assert used == made
