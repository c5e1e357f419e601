"""Definitions: validate, analyze, the import of foreign formats, and stored workflows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli.commands.options import AsJson, DefinitionArgument, read_definition, read_text, read_value
from services.cli.commands.running import Mode
from services.cli.errors import BadUse, ExitCode, problem_lines
from services.cli.output import note, pretty, print_json
from services.cli.settings import ClientSettings

imports = typer.Typer(no_args_is_help=True, help="Turn workflows of other systems into definitions.")
workflows = typer.Typer(no_args_is_help=True, help="Keep definitions in the engine, each change a version.")

WorkflowIdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the stored workflow.")]


def validate(file: DefinitionArgument, as_json: AsJson = False) -> None:
    """Report every problem of a definition at once. Runs nothing."""
    from flow_engine.errors import Problem
    from flow_engine.v1 import execution_pb2 as pb
    from services.cli.client import CALL_SECONDS, connected

    text = read_text(file, "definition")
    with connected(ClientSettings.read()) as executor:
        answer = executor.executions.ValidateWorkflow(
            pb.ValidateWorkflowRequest(workflow_json=text), timeout=CALL_SECONDS
        )
    if as_json:
        from services.gateway.documents import validation_document

        print_json(validation_document(answer))
    elif answer.valid:
        print("valid")
    else:
        found = [Problem(p.path, p.code, p.message, p.hint) for p in answer.problems]
        note(f"{file}: {len(found)} problem{'s' if len(found) > 1 else ''}")
        for line in problem_lines(found):
            note(f"  {line}")
    if not answer.valid:
        raise typer.Exit(ExitCode.BAD_USE)


def analyze(
    file: DefinitionArgument,
    input_json: Annotated[
        str, typer.Option("--input", "-i", metavar="JSON", help="Input, as JSON or @file.")
    ] = "{}",
    mode: Annotated[Mode, typer.Option("--mode", "-m", help="As it would be asked for.")] = Mode.AUTO,
    as_json: AsJson = False,
) -> None:
    """Say where a workflow would run, and why. Runs nothing."""
    from flow_engine.v1 import execution_pb2 as pb
    from services.cli.client import CALL_SECONDS, connected

    text, _ = read_definition(file)
    spec = pb.StartSpec(
        workflow_json=text,
        input_json=read_value(input_json, "--input"),
        mode=f"EXECUTION_MODE_{mode.name}",
    )
    with connected(ClientSettings.read()) as executor:
        request = pb.AnalyzeWorkflowRequest(spec=spec)
        complexity = executor.executions.AnalyzeWorkflow(request, timeout=CALL_SECONDS).complexity
    if as_json:
        from services.gateway.documents import complexity_document

        print_json(complexity_document(complexity))
        return
    from services.cli.output import console
    from services.cli.reports import analysis_report

    for part in analysis_report(complexity):
        console().print(part)


@imports.command("wfcommons")
def import_wfcommons(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A WfFormat file, or - for standard input.")],
    scale: Annotated[
        float, typer.Option(min=0, help="Times the recorded runtime of each task; 0 waits for nothing.")
    ] = 0,
    workflow_id: Annotated[
        str | None, typer.Option("--id", help="Of the workflow; made from its name by default.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")] = None,
) -> None:
    """Print a WfCommons workflow (WfFormat 1.3 to 1.5) as a definition.

    Every task becomes a logic.delay of its runtime times the scale; edges come from parents and children.
    """
    import json

    from services.cli.wfcommons import NotWfFormat, definition_of

    _, instance = read_definition(file)
    try:
        definition = definition_of(instance, scale, workflow_id)
    except NotWfFormat as error:
        raise BadUse(f"{file}: {error}") from error
    text = json.dumps(definition, ensure_ascii=False, indent=1)
    if output is None:
        print(text)
        return
    try:
        output.write_text(text + "\n")
    except OSError as error:
        raise BadUse(f"cannot write {output}: {error.strerror}") from error
    note(f"{output}: {len(definition['nodes'])} nodes, {len(definition['edges'])} edges")


@workflows.command("create")
def create_workflow(
    file: DefinitionArgument,
    label: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A label; may be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Store a definition under its id."""
    from flow_engine.v1 import workflow_pb2 as wf
    from services.cli.client import CALL_SECONDS, connected

    text, _ = read_definition(file)
    with connected(ClientSettings.read()) as executor:
        request = wf.CreateWorkflowRequest(workflow_json=text, labels=read_labels(label or []))
        answer = executor.workflows.CreateWorkflow(request, timeout=CALL_SECONDS)
    _tell(answer.workflow, as_json)


@workflows.command("update")
def update_workflow(
    workflow_id: WorkflowIdArgument,
    file: DefinitionArgument,
    expected_version: Annotated[
        int, typer.Option(min=0, help="Refuse unless this is the latest version; 0 accepts any.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Store a new version. The same definition again changes nothing."""
    from flow_engine.v1 import workflow_pb2 as wf
    from services.cli.client import CALL_SECONDS, connected

    text, _ = read_definition(file)
    with connected(ClientSettings.read()) as executor:
        request = wf.UpdateWorkflowRequest(
            workflow_id=workflow_id, workflow_json=text, expected_version=expected_version
        )
        answer = executor.workflows.UpdateWorkflow(request, timeout=CALL_SECONDS)
    _tell(answer.workflow, as_json)


@workflows.command("get")
def get_workflow(
    workflow_id: WorkflowIdArgument,
    version: Annotated[int, typer.Option(min=0, help="0 is the latest.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Print a stored definition."""
    from flow_engine.v1 import workflow_pb2 as wf
    from services.cli.client import CALL_SECONDS, connected

    with connected(ClientSettings.read()) as executor:
        request = wf.GetWorkflowRequest(workflow_id=workflow_id, version=version)
        workflow = executor.workflows.GetWorkflow(request, timeout=CALL_SECONDS).workflow
    if as_json:
        _tell(workflow, as_json)
        return
    note(f"{workflow.id}  version {workflow.version}")
    print(pretty(workflow.definition_json))


@workflows.command("ls")
def list_workflows(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="The most to print.")] = 50,
    page_token: Annotated[str, typer.Option(help="Where the page before this one ended.")] = "",
    label: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="With this label; may be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List stored workflows."""
    from msgspec import UNSET

    from flow_engine.v1 import workflow_pb2 as wf
    from services.cli.client import CALL_SECONDS, connected

    with connected(ClientSettings.read()) as executor:
        request = wf.ListWorkflowsRequest(
            page_size=limit, page_token=page_token, labels=read_labels(label or [])
        )
        answer = executor.workflows.ListWorkflows(request, timeout=CALL_SECONDS)
    if as_json:
        from services.gateway.documents import WorkflowPage, workflow_document

        found = [workflow_document(workflow) for workflow in answer.workflows]
        print_json(WorkflowPage(workflows=found, next_page_token=answer.next_page_token or UNSET))
        return
    from services.cli.output import console
    from services.cli.reports import workflow_table

    if not answer.workflows:
        note("no stored workflows")
        return
    console().print(workflow_table(answer.workflows))
    if answer.next_page_token:
        note(f"there are more: --page-token {answer.next_page_token}")


@workflows.command("versions")
def list_versions(
    workflow_id: WorkflowIdArgument,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="The most to print.")] = 50,
    page_token: Annotated[str, typer.Option(help="Where the page before this one ended.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the versions of a stored workflow, newest first."""
    from flow_engine.v1 import workflow_pb2 as wf
    from services.cli.client import CALL_SECONDS, connected

    with connected(ClientSettings.read()) as executor:
        request = wf.ListWorkflowVersionsRequest(
            workflow_id=workflow_id, page_size=limit, page_token=page_token
        )
        answer = executor.workflows.ListWorkflowVersions(request, timeout=CALL_SECONDS)
    if as_json:
        from services.gateway.documents import version_page

        print_json(version_page(answer))
        return
    from services.cli.output import console
    from services.cli.reports import version_table

    console().print(version_table(answer.versions))
    if answer.next_page_token:
        note(f"there are more: --page-token {answer.next_page_token}")


@workflows.command("label")
def label_workflow(
    workflow_id: WorkflowIdArgument,
    labels: Annotated[list[str], typer.Argument(metavar="NAME=VALUE | NAME-", help="Set, or remove.")],
    as_json: AsJson = False,
) -> None:
    """Set and remove labels: flow workflows label orders team=payments draft-"""
    from flow_engine.v1 import workflow_pb2 as wf
    from services.cli.client import CALL_SECONDS, connected

    removed = [label[:-1] for label in labels if label.endswith("-") and "=" not in label]
    changed = read_labels([label for label in labels if not label.endswith("-") or "=" in label])
    with connected(ClientSettings.read()) as executor:
        request = wf.LabelWorkflowRequest(workflow_id=workflow_id, set=changed, remove=removed)
        workflow = executor.workflows.LabelWorkflow(request, timeout=CALL_SECONDS).workflow
    if as_json:
        _tell(workflow, as_json)
        return
    print(f"{workflow.id}  {' '.join(f'{name}={value}' for name, value in sorted(workflow.labels.items()))}")


def diff(
    workflow_id: WorkflowIdArgument,
    from_version: Annotated[
        int, typer.Option("--from", min=0, help="0: the version before the other one.")
    ] = 0,
    to_version: Annotated[int, typer.Option("--to", min=0, help="0 is the latest.")] = 0,
    file: Annotated[
        str | None, typer.Option("--file", metavar="FILE", help="Compare with this definition instead.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what two versions of a stored workflow differ in, or a version and a file.

    What an editor keeps for itself, such as positions, does not count.
    """
    from flow_engine.v1 import workflow_pb2 as wf
    from services.cli.client import CALL_SECONDS, connected

    if file is not None and to_version:
        raise BadUse("--file and --to exclude each other")
    text = "" if file is None else read_definition(file)[0]
    with connected(ClientSettings.read()) as executor:
        request = wf.DiffWorkflowRequest(
            workflow_id=workflow_id, from_version=from_version, to_version=to_version, workflow_json=text
        )
        answer = executor.workflows.DiffWorkflow(request, timeout=CALL_SECONDS)
    if as_json:
        from services.gateway.documents import diff_document

        print_json(diff_document(answer))
        return
    from services.cli.reports import diff_lines

    other = f"version {answer.to_version}" if answer.to_version else str(file)
    note(f"{workflow_id}: version {answer.from_version} → {other}" + ("  no difference" * answer.same))
    for line in diff_lines(answer):
        print(line)


def read_labels(texts: list[str]) -> dict[str, str]:
    """`["team=payments"]` → `{"team": "payments"}`. Raises BadUse."""
    for text in texts:
        if "=" not in text.strip("="):
            raise BadUse(f"a label is given as name=value, not {text!r}")
    return dict(text.split("=", 1) for text in texts)


@workflows.command("delete")
def delete_workflow(workflow_id: WorkflowIdArgument) -> None:
    """Take a workflow out of sight. Its executions go on and stay readable."""
    from flow_engine.v1 import workflow_pb2 as wf
    from services.cli.client import CALL_SECONDS, connected

    with connected(ClientSettings.read()) as executor:
        request = wf.DeleteWorkflowRequest(workflow_id=workflow_id)
        executor.workflows.DeleteWorkflow(request, timeout=CALL_SECONDS)
    print(f"{workflow_id} deleted")


def _tell(workflow: object, as_json: bool) -> None:
    from flow_engine.v1.workflow_pb2 import Workflow
    from services.gateway.documents import workflow_document

    assert isinstance(workflow, Workflow)
    if as_json:
        print_json(workflow_document(workflow))
    else:
        print(f"{workflow.id}  version {workflow.version}")
