import datetime

from flow_engine.v1 import stats_pb2 as _stats_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExecutionStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXECUTION_STATUS_UNSPECIFIED: _ClassVar[ExecutionStatus]
    EXECUTION_STATUS_PENDING: _ClassVar[ExecutionStatus]
    EXECUTION_STATUS_RUNNING: _ClassVar[ExecutionStatus]
    EXECUTION_STATUS_PAUSED: _ClassVar[ExecutionStatus]
    EXECUTION_STATUS_WAITING: _ClassVar[ExecutionStatus]
    EXECUTION_STATUS_COMPLETED: _ClassVar[ExecutionStatus]
    EXECUTION_STATUS_FAILED: _ClassVar[ExecutionStatus]
    EXECUTION_STATUS_CANCELLED: _ClassVar[ExecutionStatus]

class ExecutionMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXECUTION_MODE_UNSPECIFIED: _ClassVar[ExecutionMode]
    EXECUTION_MODE_AUTO: _ClassVar[ExecutionMode]
    EXECUTION_MODE_IMMEDIATE: _ClassVar[ExecutionMode]
    EXECUTION_MODE_QUEUED: _ClassVar[ExecutionMode]

class StepStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STEP_STATUS_UNSPECIFIED: _ClassVar[StepStatus]
    STEP_STATUS_PENDING: _ClassVar[StepStatus]
    STEP_STATUS_RUNNING: _ClassVar[StepStatus]
    STEP_STATUS_WAITING: _ClassVar[StepStatus]
    STEP_STATUS_COMPLETED: _ClassVar[StepStatus]
    STEP_STATUS_FAILED: _ClassVar[StepStatus]
    STEP_STATUS_SKIPPED: _ClassVar[StepStatus]
    STEP_STATUS_CANCELLED: _ClassVar[StepStatus]

class PendingControl(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PENDING_CONTROL_UNSPECIFIED: _ClassVar[PendingControl]
    PENDING_CONTROL_PAUSE: _ClassVar[PendingControl]
    PENDING_CONTROL_CANCEL: _ClassVar[PendingControl]

class ControlAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONTROL_ACTION_UNSPECIFIED: _ClassVar[ControlAction]
    CONTROL_ACTION_PAUSE: _ClassVar[ControlAction]
    CONTROL_ACTION_RESUME: _ClassVar[ControlAction]
    CONTROL_ACTION_CANCEL: _ClassVar[ControlAction]
    CONTROL_ACTION_RETRY: _ClassVar[ControlAction]

class ControlEffect(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONTROL_EFFECT_UNSPECIFIED: _ClassVar[ControlEffect]
    CONTROL_EFFECT_DONE: _ClassVar[ControlEffect]
    CONTROL_EFFECT_ACCEPTED: _ClassVar[ControlEffect]
    CONTROL_EFFECT_REFUSED: _ClassVar[ControlEffect]
EXECUTION_STATUS_UNSPECIFIED: ExecutionStatus
EXECUTION_STATUS_PENDING: ExecutionStatus
EXECUTION_STATUS_RUNNING: ExecutionStatus
EXECUTION_STATUS_PAUSED: ExecutionStatus
EXECUTION_STATUS_WAITING: ExecutionStatus
EXECUTION_STATUS_COMPLETED: ExecutionStatus
EXECUTION_STATUS_FAILED: ExecutionStatus
EXECUTION_STATUS_CANCELLED: ExecutionStatus
EXECUTION_MODE_UNSPECIFIED: ExecutionMode
EXECUTION_MODE_AUTO: ExecutionMode
EXECUTION_MODE_IMMEDIATE: ExecutionMode
EXECUTION_MODE_QUEUED: ExecutionMode
STEP_STATUS_UNSPECIFIED: StepStatus
STEP_STATUS_PENDING: StepStatus
STEP_STATUS_RUNNING: StepStatus
STEP_STATUS_WAITING: StepStatus
STEP_STATUS_COMPLETED: StepStatus
STEP_STATUS_FAILED: StepStatus
STEP_STATUS_SKIPPED: StepStatus
STEP_STATUS_CANCELLED: StepStatus
PENDING_CONTROL_UNSPECIFIED: PendingControl
PENDING_CONTROL_PAUSE: PendingControl
PENDING_CONTROL_CANCEL: PendingControl
CONTROL_ACTION_UNSPECIFIED: ControlAction
CONTROL_ACTION_PAUSE: ControlAction
CONTROL_ACTION_RESUME: ControlAction
CONTROL_ACTION_CANCEL: ControlAction
CONTROL_ACTION_RETRY: ControlAction
CONTROL_EFFECT_UNSPECIFIED: ControlEffect
CONTROL_EFFECT_DONE: ControlEffect
CONTROL_EFFECT_ACCEPTED: ControlEffect
CONTROL_EFFECT_REFUSED: ControlEffect

class ExecutionError(_message.Message):
    __slots__ = ("code", "message", "node_id", "iteration", "details_json")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ITERATION_FIELD_NUMBER: _ClassVar[int]
    DETAILS_JSON_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    node_id: str
    iteration: _containers.RepeatedScalarFieldContainer[int]
    details_json: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., node_id: _Optional[str] = ..., iteration: _Optional[_Iterable[int]] = ..., details_json: _Optional[str] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("node_id", "iteration", "status", "attempts", "started_time", "completed_time", "output_json", "error", "output_hash", "output_bytes", "handle", "waiting_json", "node_type", "handles", "child_id", "usage")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ITERATION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    STARTED_TIME_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_TIME_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_JSON_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_HASH_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    WAITING_JSON_FIELD_NUMBER: _ClassVar[int]
    NODE_TYPE_FIELD_NUMBER: _ClassVar[int]
    HANDLES_FIELD_NUMBER: _ClassVar[int]
    CHILD_ID_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    iteration: _containers.RepeatedScalarFieldContainer[int]
    status: StepStatus
    attempts: int
    started_time: _timestamp_pb2.Timestamp
    completed_time: _timestamp_pb2.Timestamp
    output_json: str
    error: ExecutionError
    output_hash: str
    output_bytes: int
    handle: str
    waiting_json: str
    node_type: str
    handles: _containers.RepeatedScalarFieldContainer[str]
    child_id: str
    usage: _stats_pb2.ResourceUsage
    def __init__(self, node_id: _Optional[str] = ..., iteration: _Optional[_Iterable[int]] = ..., status: _Optional[_Union[StepStatus, str]] = ..., attempts: _Optional[int] = ..., started_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., completed_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., output_json: _Optional[str] = ..., error: _Optional[_Union[ExecutionError, _Mapping]] = ..., output_hash: _Optional[str] = ..., output_bytes: _Optional[int] = ..., handle: _Optional[str] = ..., waiting_json: _Optional[str] = ..., node_type: _Optional[str] = ..., handles: _Optional[_Iterable[str]] = ..., child_id: _Optional[str] = ..., usage: _Optional[_Union[_stats_pb2.ResourceUsage, _Mapping]] = ...) -> None: ...

class ComplexityFactor(_message.Message):
    __slots__ = ("name", "value_json", "threshold_json", "fired", "explanation")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_JSON_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_JSON_FIELD_NUMBER: _ClassVar[int]
    FIRED_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    name: str
    value_json: str
    threshold_json: str
    fired: bool
    explanation: str
    def __init__(self, name: _Optional[str] = ..., value_json: _Optional[str] = ..., threshold_json: _Optional[str] = ..., fired: _Optional[bool] = ..., explanation: _Optional[str] = ...) -> None: ...

class ComplexityAnalysis(_message.Message):
    __slots__ = ("mode", "requested_mode", "factors", "estimated_duration", "node_count", "external_call_count", "loop_count", "max_parallel_paths", "human_input", "explanation", "counterfactual", "learned_nodes")
    MODE_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_MODE_FIELD_NUMBER: _ClassVar[int]
    FACTORS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_DURATION_FIELD_NUMBER: _ClassVar[int]
    NODE_COUNT_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_CALL_COUNT_FIELD_NUMBER: _ClassVar[int]
    LOOP_COUNT_FIELD_NUMBER: _ClassVar[int]
    MAX_PARALLEL_PATHS_FIELD_NUMBER: _ClassVar[int]
    HUMAN_INPUT_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    COUNTERFACTUAL_FIELD_NUMBER: _ClassVar[int]
    LEARNED_NODES_FIELD_NUMBER: _ClassVar[int]
    mode: ExecutionMode
    requested_mode: ExecutionMode
    factors: _containers.RepeatedCompositeFieldContainer[ComplexityFactor]
    estimated_duration: _duration_pb2.Duration
    node_count: int
    external_call_count: int
    loop_count: int
    max_parallel_paths: int
    human_input: bool
    explanation: str
    counterfactual: str
    learned_nodes: int
    def __init__(self, mode: _Optional[_Union[ExecutionMode, str]] = ..., requested_mode: _Optional[_Union[ExecutionMode, str]] = ..., factors: _Optional[_Iterable[_Union[ComplexityFactor, _Mapping]]] = ..., estimated_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., node_count: _Optional[int] = ..., external_call_count: _Optional[int] = ..., loop_count: _Optional[int] = ..., max_parallel_paths: _Optional[int] = ..., human_input: _Optional[bool] = ..., explanation: _Optional[str] = ..., counterfactual: _Optional[str] = ..., learned_nodes: _Optional[int] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("completed_steps", "total_steps", "percent", "eta_time")
    COMPLETED_STEPS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_STEPS_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    ETA_TIME_FIELD_NUMBER: _ClassVar[int]
    completed_steps: int
    total_steps: int
    percent: float
    eta_time: _timestamp_pb2.Timestamp
    def __init__(self, completed_steps: _Optional[int] = ..., total_steps: _Optional[int] = ..., percent: _Optional[float] = ..., eta_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class WaitingReason(_message.Message):
    __slots__ = ("kind", "explanation", "until_time", "node_ids", "queue_position", "queue_oldest_age", "key", "limit", "period", "missing_capabilities")
    KIND_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    UNTIL_TIME_FIELD_NUMBER: _ClassVar[int]
    NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_POSITION_FIELD_NUMBER: _ClassVar[int]
    QUEUE_OLDEST_AGE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    MISSING_CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    kind: str
    explanation: str
    until_time: _timestamp_pb2.Timestamp
    node_ids: _containers.RepeatedScalarFieldContainer[str]
    queue_position: int
    queue_oldest_age: _duration_pb2.Duration
    key: str
    limit: int
    period: _duration_pb2.Duration
    missing_capabilities: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, kind: _Optional[str] = ..., explanation: _Optional[str] = ..., until_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., node_ids: _Optional[_Iterable[str]] = ..., queue_position: _Optional[int] = ..., queue_oldest_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., key: _Optional[str] = ..., limit: _Optional[int] = ..., period: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., missing_capabilities: _Optional[_Iterable[str]] = ...) -> None: ...

class Execution(_message.Message):
    __slots__ = ("id", "workflow_id", "workflow_name", "status", "mode", "pending_control", "created_time", "started_time", "completed_time", "complexity", "output_json", "error", "steps", "steps_next_page_token", "tags", "priority", "retry_of", "root_id", "last_sequence", "progress", "waiting_reason", "deadline_time", "definition_hash", "input_json", "workflow_version", "definition_json", "epoch", "parent_id", "usage")
    ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    PENDING_CONTROL_FIELD_NUMBER: _ClassVar[int]
    CREATED_TIME_FIELD_NUMBER: _ClassVar[int]
    STARTED_TIME_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_TIME_FIELD_NUMBER: _ClassVar[int]
    COMPLEXITY_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_JSON_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    STEPS_NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    RETRY_OF_FIELD_NUMBER: _ClassVar[int]
    ROOT_ID_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    WAITING_REASON_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_TIME_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_HASH_FIELD_NUMBER: _ClassVar[int]
    INPUT_JSON_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_VERSION_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_JSON_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    id: str
    workflow_id: str
    workflow_name: str
    status: ExecutionStatus
    mode: ExecutionMode
    pending_control: PendingControl
    created_time: _timestamp_pb2.Timestamp
    started_time: _timestamp_pb2.Timestamp
    completed_time: _timestamp_pb2.Timestamp
    complexity: ComplexityAnalysis
    output_json: str
    error: ExecutionError
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    steps_next_page_token: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    priority: int
    retry_of: str
    root_id: str
    last_sequence: int
    progress: Progress
    waiting_reason: WaitingReason
    deadline_time: _timestamp_pb2.Timestamp
    definition_hash: str
    input_json: str
    workflow_version: int
    definition_json: str
    epoch: int
    parent_id: str
    usage: _stats_pb2.ResourceUsage
    def __init__(self, id: _Optional[str] = ..., workflow_id: _Optional[str] = ..., workflow_name: _Optional[str] = ..., status: _Optional[_Union[ExecutionStatus, str]] = ..., mode: _Optional[_Union[ExecutionMode, str]] = ..., pending_control: _Optional[_Union[PendingControl, str]] = ..., created_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., completed_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., complexity: _Optional[_Union[ComplexityAnalysis, _Mapping]] = ..., output_json: _Optional[str] = ..., error: _Optional[_Union[ExecutionError, _Mapping]] = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ..., steps_next_page_token: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., priority: _Optional[int] = ..., retry_of: _Optional[str] = ..., root_id: _Optional[str] = ..., last_sequence: _Optional[int] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., waiting_reason: _Optional[_Union[WaitingReason, _Mapping]] = ..., deadline_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., definition_hash: _Optional[str] = ..., input_json: _Optional[str] = ..., workflow_version: _Optional[int] = ..., definition_json: _Optional[str] = ..., epoch: _Optional[int] = ..., parent_id: _Optional[str] = ..., usage: _Optional[_Union[_stats_pb2.ResourceUsage, _Mapping]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("sequence", "type", "execution_id", "event_time", "node_id", "frame_json")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    FRAME_JSON_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    type: str
    execution_id: str
    event_time: _timestamp_pb2.Timestamp
    node_id: str
    frame_json: str
    def __init__(self, sequence: _Optional[int] = ..., type: _Optional[str] = ..., execution_id: _Optional[str] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., node_id: _Optional[str] = ..., frame_json: _Optional[str] = ...) -> None: ...

class ExecutionOptions(_message.Message):
    __slots__ = ("timeout", "priority", "tags", "max_retries", "immediate_budget")
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    MAX_RETRIES_FIELD_NUMBER: _ClassVar[int]
    IMMEDIATE_BUDGET_FIELD_NUMBER: _ClassVar[int]
    timeout: _duration_pb2.Duration
    priority: int
    tags: _containers.RepeatedScalarFieldContainer[str]
    max_retries: int
    immediate_budget: _duration_pb2.Duration
    def __init__(self, timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., priority: _Optional[int] = ..., tags: _Optional[_Iterable[str]] = ..., max_retries: _Optional[int] = ..., immediate_budget: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class StartSpec(_message.Message):
    __slots__ = ("workflow_json", "workflow_id", "workflow_version", "input_json", "mode", "options", "request_id")
    WORKFLOW_JSON_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_VERSION_FIELD_NUMBER: _ClassVar[int]
    INPUT_JSON_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    workflow_json: str
    workflow_id: str
    workflow_version: int
    input_json: str
    mode: ExecutionMode
    options: ExecutionOptions
    request_id: str
    def __init__(self, workflow_json: _Optional[str] = ..., workflow_id: _Optional[str] = ..., workflow_version: _Optional[int] = ..., input_json: _Optional[str] = ..., mode: _Optional[_Union[ExecutionMode, str]] = ..., options: _Optional[_Union[ExecutionOptions, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class StartExecutionRequest(_message.Message):
    __slots__ = ("spec", "wait")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    spec: StartSpec
    wait: _duration_pb2.Duration
    def __init__(self, spec: _Optional[_Union[StartSpec, _Mapping]] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class StartExecutionResponse(_message.Message):
    __slots__ = ("execution", "created")
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    execution: Execution
    created: bool
    def __init__(self, execution: _Optional[_Union[Execution, _Mapping]] = ..., created: _Optional[bool] = ...) -> None: ...

class StartAndWatchExecutionRequest(_message.Message):
    __slots__ = ("spec",)
    SPEC_FIELD_NUMBER: _ClassVar[int]
    spec: StartSpec
    def __init__(self, spec: _Optional[_Union[StartSpec, _Mapping]] = ...) -> None: ...

class StartAndWatchExecutionResponse(_message.Message):
    __slots__ = ("execution_id", "event")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    event: Event
    def __init__(self, execution_id: _Optional[str] = ..., event: _Optional[_Union[Event, _Mapping]] = ...) -> None: ...

class GetExecutionRequest(_message.Message):
    __slots__ = ("execution_id", "omit_steps", "include_definition", "glance")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    OMIT_STEPS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_DEFINITION_FIELD_NUMBER: _ClassVar[int]
    GLANCE_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    omit_steps: bool
    include_definition: bool
    glance: bool
    def __init__(self, execution_id: _Optional[str] = ..., omit_steps: _Optional[bool] = ..., include_definition: _Optional[bool] = ..., glance: _Optional[bool] = ...) -> None: ...

class GetExecutionResponse(_message.Message):
    __slots__ = ("execution",)
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    execution: Execution
    def __init__(self, execution: _Optional[_Union[Execution, _Mapping]] = ...) -> None: ...

class ListExecutionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "workflow_id", "statuses", "mode", "tags", "created_after_time", "created_before_time", "min_duration", "max_duration", "error_code", "error_text", "parent_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AFTER_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATED_BEFORE_TIME_FIELD_NUMBER: _ClassVar[int]
    MIN_DURATION_FIELD_NUMBER: _ClassVar[int]
    MAX_DURATION_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_TEXT_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    workflow_id: str
    statuses: _containers.RepeatedScalarFieldContainer[ExecutionStatus]
    mode: ExecutionMode
    tags: _containers.RepeatedScalarFieldContainer[str]
    created_after_time: _timestamp_pb2.Timestamp
    created_before_time: _timestamp_pb2.Timestamp
    min_duration: _duration_pb2.Duration
    max_duration: _duration_pb2.Duration
    error_code: str
    error_text: str
    parent_id: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., workflow_id: _Optional[str] = ..., statuses: _Optional[_Iterable[_Union[ExecutionStatus, str]]] = ..., mode: _Optional[_Union[ExecutionMode, str]] = ..., tags: _Optional[_Iterable[str]] = ..., created_after_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_before_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., min_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., error_code: _Optional[str] = ..., error_text: _Optional[str] = ..., parent_id: _Optional[str] = ...) -> None: ...

class ListExecutionsResponse(_message.Message):
    __slots__ = ("executions", "next_page_token")
    EXECUTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    executions: _containers.RepeatedCompositeFieldContainer[Execution]
    next_page_token: str
    def __init__(self, executions: _Optional[_Iterable[_Union[Execution, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListStepsRequest(_message.Message):
    __slots__ = ("execution_id", "page_size", "page_token")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    page_size: int
    page_token: str
    def __init__(self, execution_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListStepsResponse(_message.Message):
    __slots__ = ("steps", "next_page_token")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    next_page_token: str
    def __init__(self, steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListEventsRequest(_message.Message):
    __slots__ = ("execution_id", "after_sequence", "limit")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    after_sequence: int
    limit: int
    def __init__(self, execution_id: _Optional[str] = ..., after_sequence: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ListEventsResponse(_message.Message):
    __slots__ = ("events", "last_sequence")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    last_sequence: int
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., last_sequence: _Optional[int] = ...) -> None: ...

class WatchExecutionRequest(_message.Message):
    __slots__ = ("execution_id", "after_sequence", "snapshot")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    after_sequence: int
    snapshot: bool
    def __init__(self, execution_id: _Optional[str] = ..., after_sequence: _Optional[int] = ..., snapshot: _Optional[bool] = ...) -> None: ...

class WatchExecutionResponse(_message.Message):
    __slots__ = ("events", "snapshot", "sequence")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    snapshot: Execution
    sequence: int
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., snapshot: _Optional[_Union[Execution, _Mapping]] = ..., sequence: _Optional[int] = ...) -> None: ...

class ChangeFilter(_message.Message):
    __slots__ = ("workflow_id", "statuses", "mode", "tags")
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    workflow_id: str
    statuses: _containers.RepeatedScalarFieldContainer[ExecutionStatus]
    mode: ExecutionMode
    tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, workflow_id: _Optional[str] = ..., statuses: _Optional[_Iterable[_Union[ExecutionStatus, str]]] = ..., mode: _Optional[_Union[ExecutionMode, str]] = ..., tags: _Optional[_Iterable[str]] = ...) -> None: ...

class ExecutionChange(_message.Message):
    __slots__ = ("cursor", "execution_id", "workflow_id", "workflow_name", "status", "mode", "sequence", "event_time", "progress", "facts", "event_count", "error_code")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    cursor: str
    execution_id: str
    workflow_id: str
    workflow_name: str
    status: ExecutionStatus
    mode: ExecutionMode
    sequence: int
    event_time: _timestamp_pb2.Timestamp
    progress: Progress
    facts: _containers.RepeatedCompositeFieldContainer[ChangedFact]
    event_count: int
    error_code: str
    def __init__(self, cursor: _Optional[str] = ..., execution_id: _Optional[str] = ..., workflow_id: _Optional[str] = ..., workflow_name: _Optional[str] = ..., status: _Optional[_Union[ExecutionStatus, str]] = ..., mode: _Optional[_Union[ExecutionMode, str]] = ..., sequence: _Optional[int] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., facts: _Optional[_Iterable[_Union[ChangedFact, _Mapping]]] = ..., event_count: _Optional[int] = ..., error_code: _Optional[str] = ...) -> None: ...

class ChangedFact(_message.Message):
    __slots__ = ("sequence", "type", "node_id", "iteration")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ITERATION_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    type: str
    node_id: str
    iteration: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, sequence: _Optional[int] = ..., type: _Optional[str] = ..., node_id: _Optional[str] = ..., iteration: _Optional[_Iterable[int]] = ...) -> None: ...

class WatchExecutionsRequest(_message.Message):
    __slots__ = ("filter", "after_cursor")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    AFTER_CURSOR_FIELD_NUMBER: _ClassVar[int]
    filter: ChangeFilter
    after_cursor: str
    def __init__(self, filter: _Optional[_Union[ChangeFilter, _Mapping]] = ..., after_cursor: _Optional[str] = ...) -> None: ...

class WatchExecutionsResponse(_message.Message):
    __slots__ = ("changes", "cursor")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[ExecutionChange]
    cursor: str
    def __init__(self, changes: _Optional[_Iterable[_Union[ExecutionChange, _Mapping]]] = ..., cursor: _Optional[str] = ...) -> None: ...

class ListChangesRequest(_message.Message):
    __slots__ = ("filter", "after_cursor", "limit")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    AFTER_CURSOR_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    filter: ChangeFilter
    after_cursor: str
    limit: int
    def __init__(self, filter: _Optional[_Union[ChangeFilter, _Mapping]] = ..., after_cursor: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListChangesResponse(_message.Message):
    __slots__ = ("changes", "cursor", "more")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[ExecutionChange]
    cursor: str
    more: bool
    def __init__(self, changes: _Optional[_Iterable[_Union[ExecutionChange, _Mapping]]] = ..., cursor: _Optional[str] = ..., more: _Optional[bool] = ...) -> None: ...

class PauseExecutionRequest(_message.Message):
    __slots__ = ("execution_id", "reason")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    reason: str
    def __init__(self, execution_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class PauseExecutionResponse(_message.Message):
    __slots__ = ("execution", "done")
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    execution: Execution
    done: bool
    def __init__(self, execution: _Optional[_Union[Execution, _Mapping]] = ..., done: _Optional[bool] = ...) -> None: ...

class ResumeExecutionRequest(_message.Message):
    __slots__ = ("execution_id",)
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    def __init__(self, execution_id: _Optional[str] = ...) -> None: ...

class ResumeExecutionResponse(_message.Message):
    __slots__ = ("execution", "done")
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    execution: Execution
    done: bool
    def __init__(self, execution: _Optional[_Union[Execution, _Mapping]] = ..., done: _Optional[bool] = ...) -> None: ...

class CancelExecutionRequest(_message.Message):
    __slots__ = ("execution_id", "reason")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    reason: str
    def __init__(self, execution_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CancelExecutionResponse(_message.Message):
    __slots__ = ("execution", "done")
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    execution: Execution
    done: bool
    def __init__(self, execution: _Optional[_Union[Execution, _Mapping]] = ..., done: _Optional[bool] = ...) -> None: ...

class RetryExecutionRequest(_message.Message):
    __slots__ = ("execution_id", "from_node")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_NODE_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    from_node: str
    def __init__(self, execution_id: _Optional[str] = ..., from_node: _Optional[str] = ...) -> None: ...

class RetryExecutionResponse(_message.Message):
    __slots__ = ("execution",)
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    execution: Execution
    def __init__(self, execution: _Optional[_Union[Execution, _Mapping]] = ...) -> None: ...

class ExecutionFilter(_message.Message):
    __slots__ = ("workflow_id", "statuses", "mode", "tags", "created_after_time", "created_before_time", "min_duration", "max_duration", "error_code", "error_text", "parent_id")
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AFTER_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATED_BEFORE_TIME_FIELD_NUMBER: _ClassVar[int]
    MIN_DURATION_FIELD_NUMBER: _ClassVar[int]
    MAX_DURATION_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_TEXT_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    workflow_id: str
    statuses: _containers.RepeatedScalarFieldContainer[ExecutionStatus]
    mode: ExecutionMode
    tags: _containers.RepeatedScalarFieldContainer[str]
    created_after_time: _timestamp_pb2.Timestamp
    created_before_time: _timestamp_pb2.Timestamp
    min_duration: _duration_pb2.Duration
    max_duration: _duration_pb2.Duration
    error_code: str
    error_text: str
    parent_id: str
    def __init__(self, workflow_id: _Optional[str] = ..., statuses: _Optional[_Iterable[_Union[ExecutionStatus, str]]] = ..., mode: _Optional[_Union[ExecutionMode, str]] = ..., tags: _Optional[_Iterable[str]] = ..., created_after_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_before_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., min_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., error_code: _Optional[str] = ..., error_text: _Optional[str] = ..., parent_id: _Optional[str] = ...) -> None: ...

class CountExecutionsRequest(_message.Message):
    __slots__ = ("filter",)
    FILTER_FIELD_NUMBER: _ClassVar[int]
    filter: ExecutionFilter
    def __init__(self, filter: _Optional[_Union[ExecutionFilter, _Mapping]] = ...) -> None: ...

class CountExecutionsResponse(_message.Message):
    __slots__ = ("count", "more")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    count: int
    more: bool
    def __init__(self, count: _Optional[int] = ..., more: _Optional[bool] = ...) -> None: ...

class ControlExecutionsRequest(_message.Message):
    __slots__ = ("action", "filter", "dry_run", "reason", "page_size", "page_token")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    action: ControlAction
    filter: ExecutionFilter
    dry_run: bool
    reason: str
    page_size: int
    page_token: str
    def __init__(self, action: _Optional[_Union[ControlAction, str]] = ..., filter: _Optional[_Union[ExecutionFilter, _Mapping]] = ..., dry_run: _Optional[bool] = ..., reason: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ControlledExecution(_message.Message):
    __slots__ = ("execution_id", "status", "effect", "reason", "message", "retry_execution_id")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    status: ExecutionStatus
    effect: ControlEffect
    reason: str
    message: str
    retry_execution_id: str
    def __init__(self, execution_id: _Optional[str] = ..., status: _Optional[_Union[ExecutionStatus, str]] = ..., effect: _Optional[_Union[ControlEffect, str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., retry_execution_id: _Optional[str] = ...) -> None: ...

class ControlExecutionsResponse(_message.Message):
    __slots__ = ("executions", "done_count", "accepted_count", "refused_count", "next_page_token")
    EXECUTIONS_FIELD_NUMBER: _ClassVar[int]
    DONE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_COUNT_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    executions: _containers.RepeatedCompositeFieldContainer[ControlledExecution]
    done_count: int
    accepted_count: int
    refused_count: int
    next_page_token: str
    def __init__(self, executions: _Optional[_Iterable[_Union[ControlledExecution, _Mapping]]] = ..., done_count: _Optional[int] = ..., accepted_count: _Optional[int] = ..., refused_count: _Optional[int] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SubmitInputRequest(_message.Message):
    __slots__ = ("execution_id", "node_id", "iteration", "input_json")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ITERATION_FIELD_NUMBER: _ClassVar[int]
    INPUT_JSON_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    node_id: str
    iteration: _containers.RepeatedScalarFieldContainer[int]
    input_json: str
    def __init__(self, execution_id: _Optional[str] = ..., node_id: _Optional[str] = ..., iteration: _Optional[_Iterable[int]] = ..., input_json: _Optional[str] = ...) -> None: ...

class SubmitInputResponse(_message.Message):
    __slots__ = ("execution",)
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    execution: Execution
    def __init__(self, execution: _Optional[_Union[Execution, _Mapping]] = ...) -> None: ...

class SubmitCallbackRequest(_message.Message):
    __slots__ = ("token", "payload_json")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_JSON_FIELD_NUMBER: _ClassVar[int]
    token: str
    payload_json: str
    def __init__(self, token: _Optional[str] = ..., payload_json: _Optional[str] = ...) -> None: ...

class SubmitCallbackResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetValueRequest(_message.Message):
    __slots__ = ("execution_id", "hash")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    hash: str
    def __init__(self, execution_id: _Optional[str] = ..., hash: _Optional[str] = ...) -> None: ...

class GetValueResponse(_message.Message):
    __slots__ = ("value_json",)
    VALUE_JSON_FIELD_NUMBER: _ClassVar[int]
    value_json: str
    def __init__(self, value_json: _Optional[str] = ...) -> None: ...

class AnalyzeWorkflowRequest(_message.Message):
    __slots__ = ("spec",)
    SPEC_FIELD_NUMBER: _ClassVar[int]
    spec: StartSpec
    def __init__(self, spec: _Optional[_Union[StartSpec, _Mapping]] = ...) -> None: ...

class AnalyzeWorkflowResponse(_message.Message):
    __slots__ = ("complexity",)
    COMPLEXITY_FIELD_NUMBER: _ClassVar[int]
    complexity: ComplexityAnalysis
    def __init__(self, complexity: _Optional[_Union[ComplexityAnalysis, _Mapping]] = ...) -> None: ...

class ValidateWorkflowRequest(_message.Message):
    __slots__ = ("workflow_json",)
    WORKFLOW_JSON_FIELD_NUMBER: _ClassVar[int]
    workflow_json: str
    def __init__(self, workflow_json: _Optional[str] = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("path", "code", "message", "hint")
    PATH_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    path: str
    code: str
    message: str
    hint: str
    def __init__(self, path: _Optional[str] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ...) -> None: ...

class ValidateWorkflowResponse(_message.Message):
    __slots__ = ("valid", "problems")
    VALID_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    valid: bool
    problems: _containers.RepeatedCompositeFieldContainer[Problem]
    def __init__(self, valid: _Optional[bool] = ..., problems: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ...) -> None: ...

class ListNodeTypesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class NodeType(_message.Message):
    __slots__ = ("type", "title", "description", "config_schema_json", "handles", "external", "human", "container", "typical_duration", "example_json")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CONFIG_SCHEMA_JSON_FIELD_NUMBER: _ClassVar[int]
    HANDLES_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_FIELD_NUMBER: _ClassVar[int]
    HUMAN_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    TYPICAL_DURATION_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_JSON_FIELD_NUMBER: _ClassVar[int]
    type: str
    title: str
    description: str
    config_schema_json: str
    handles: _containers.RepeatedScalarFieldContainer[str]
    external: bool
    human: bool
    container: bool
    typical_duration: _duration_pb2.Duration
    example_json: str
    def __init__(self, type: _Optional[str] = ..., title: _Optional[str] = ..., description: _Optional[str] = ..., config_schema_json: _Optional[str] = ..., handles: _Optional[_Iterable[str]] = ..., external: _Optional[bool] = ..., human: _Optional[bool] = ..., container: _Optional[bool] = ..., typical_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., example_json: _Optional[str] = ...) -> None: ...

class ListNodeTypesResponse(_message.Message):
    __slots__ = ("node_types",)
    NODE_TYPES_FIELD_NUMBER: _ClassVar[int]
    node_types: _containers.RepeatedCompositeFieldContainer[NodeType]
    def __init__(self, node_types: _Optional[_Iterable[_Union[NodeType, _Mapping]]] = ...) -> None: ...
