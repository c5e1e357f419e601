import datetime

from flow_engine.v1 import execution_pb2 as _execution_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CheckState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHECK_STATE_UNSPECIFIED: _ClassVar[CheckState]
    CHECK_STATE_OK: _ClassVar[CheckState]
    CHECK_STATE_WARNING: _ClassVar[CheckState]
    CHECK_STATE_ERROR: _ClassVar[CheckState]
CHECK_STATE_UNSPECIFIED: CheckState
CHECK_STATE_OK: CheckState
CHECK_STATE_WARNING: CheckState
CHECK_STATE_ERROR: CheckState

class ListWorkersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListWorkersResponse(_message.Message):
    __slots__ = ("workers", "database_time")
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    DATABASE_TIME_FIELD_NUMBER: _ClassVar[int]
    workers: _containers.RepeatedCompositeFieldContainer[WorkerInfo]
    database_time: _timestamp_pb2.Timestamp
    def __init__(self, workers: _Optional[_Iterable[_Union[WorkerInfo, _Mapping]]] = ..., database_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class WorkerInfo(_message.Message):
    __slots__ = ("id", "hostname", "process_id", "version", "slots", "free_slots", "started_time", "seen_time", "executor_id", "draining", "running_count", "executions", "capabilities")
    ID_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    PROCESS_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    FREE_SLOTS_FIELD_NUMBER: _ClassVar[int]
    STARTED_TIME_FIELD_NUMBER: _ClassVar[int]
    SEEN_TIME_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    RUNNING_COUNT_FIELD_NUMBER: _ClassVar[int]
    EXECUTIONS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    id: str
    hostname: str
    process_id: int
    version: str
    slots: int
    free_slots: int
    started_time: _timestamp_pb2.Timestamp
    seen_time: _timestamp_pb2.Timestamp
    executor_id: str
    draining: bool
    running_count: int
    executions: _containers.RepeatedCompositeFieldContainer[RunningExecution]
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., hostname: _Optional[str] = ..., process_id: _Optional[int] = ..., version: _Optional[str] = ..., slots: _Optional[int] = ..., free_slots: _Optional[int] = ..., started_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., seen_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., executor_id: _Optional[str] = ..., draining: _Optional[bool] = ..., running_count: _Optional[int] = ..., executions: _Optional[_Iterable[_Union[RunningExecution, _Mapping]]] = ..., capabilities: _Optional[_Iterable[str]] = ...) -> None: ...

class RunningExecution(_message.Message):
    __slots__ = ("execution_id", "workflow_id", "workflow_name", "started_time", "lease_expires_time")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    STARTED_TIME_FIELD_NUMBER: _ClassVar[int]
    LEASE_EXPIRES_TIME_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    workflow_id: str
    workflow_name: str
    started_time: _timestamp_pb2.Timestamp
    lease_expires_time: _timestamp_pb2.Timestamp
    def __init__(self, execution_id: _Optional[str] = ..., workflow_id: _Optional[str] = ..., workflow_name: _Optional[str] = ..., started_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., lease_expires_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetQueueRequest(_message.Message):
    __slots__ = ("brief",)
    BRIEF_FIELD_NUMBER: _ClassVar[int]
    brief: bool
    def __init__(self, brief: _Optional[bool] = ...) -> None: ...

class GetQueueResponse(_message.Message):
    __slots__ = ("pending_count", "ready_count", "running_count", "waiting_count", "oldest_pending_age", "oldest_ready_age", "worker_count", "slots", "free_slots", "priorities", "namespaces", "workflows", "keys", "database_time", "partial")
    PENDING_COUNT_FIELD_NUMBER: _ClassVar[int]
    READY_COUNT_FIELD_NUMBER: _ClassVar[int]
    RUNNING_COUNT_FIELD_NUMBER: _ClassVar[int]
    WAITING_COUNT_FIELD_NUMBER: _ClassVar[int]
    OLDEST_PENDING_AGE_FIELD_NUMBER: _ClassVar[int]
    OLDEST_READY_AGE_FIELD_NUMBER: _ClassVar[int]
    WORKER_COUNT_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    FREE_SLOTS_FIELD_NUMBER: _ClassVar[int]
    PRIORITIES_FIELD_NUMBER: _ClassVar[int]
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    WORKFLOWS_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    DATABASE_TIME_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    pending_count: int
    ready_count: int
    running_count: int
    waiting_count: int
    oldest_pending_age: _duration_pb2.Duration
    oldest_ready_age: _duration_pb2.Duration
    worker_count: int
    slots: int
    free_slots: int
    priorities: _containers.RepeatedCompositeFieldContainer[PriorityDepth]
    namespaces: _containers.RepeatedCompositeFieldContainer[NamespaceDepth]
    workflows: _containers.RepeatedCompositeFieldContainer[WorkflowDepth]
    keys: _containers.RepeatedCompositeFieldContainer[KeyDepth]
    database_time: _timestamp_pb2.Timestamp
    partial: bool
    def __init__(self, pending_count: _Optional[int] = ..., ready_count: _Optional[int] = ..., running_count: _Optional[int] = ..., waiting_count: _Optional[int] = ..., oldest_pending_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., oldest_ready_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., worker_count: _Optional[int] = ..., slots: _Optional[int] = ..., free_slots: _Optional[int] = ..., priorities: _Optional[_Iterable[_Union[PriorityDepth, _Mapping]]] = ..., namespaces: _Optional[_Iterable[_Union[NamespaceDepth, _Mapping]]] = ..., workflows: _Optional[_Iterable[_Union[WorkflowDepth, _Mapping]]] = ..., keys: _Optional[_Iterable[_Union[KeyDepth, _Mapping]]] = ..., database_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., partial: _Optional[bool] = ...) -> None: ...

class PriorityDepth(_message.Message):
    __slots__ = ("priority", "pending_count", "oldest_pending_age")
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    PENDING_COUNT_FIELD_NUMBER: _ClassVar[int]
    OLDEST_PENDING_AGE_FIELD_NUMBER: _ClassVar[int]
    priority: int
    pending_count: int
    oldest_pending_age: _duration_pb2.Duration
    def __init__(self, priority: _Optional[int] = ..., pending_count: _Optional[int] = ..., oldest_pending_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class NamespaceDepth(_message.Message):
    __slots__ = ("namespace", "pending_count", "oldest_pending_age")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PENDING_COUNT_FIELD_NUMBER: _ClassVar[int]
    OLDEST_PENDING_AGE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    pending_count: int
    oldest_pending_age: _duration_pb2.Duration
    def __init__(self, namespace: _Optional[str] = ..., pending_count: _Optional[int] = ..., oldest_pending_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WorkflowDepth(_message.Message):
    __slots__ = ("workflow_id", "pending_count", "oldest_pending_age")
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    PENDING_COUNT_FIELD_NUMBER: _ClassVar[int]
    OLDEST_PENDING_AGE_FIELD_NUMBER: _ClassVar[int]
    workflow_id: str
    pending_count: int
    oldest_pending_age: _duration_pb2.Duration
    def __init__(self, workflow_id: _Optional[str] = ..., pending_count: _Optional[int] = ..., oldest_pending_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class KeyDepth(_message.Message):
    __slots__ = ("kind", "workflow_id", "key", "limit", "period", "taken_count", "waiting_count")
    KIND_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    TAKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    WAITING_COUNT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    workflow_id: str
    key: str
    limit: int
    period: _duration_pb2.Duration
    taken_count: int
    waiting_count: int
    def __init__(self, kind: _Optional[str] = ..., workflow_id: _Optional[str] = ..., key: _Optional[str] = ..., limit: _Optional[int] = ..., period: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., taken_count: _Optional[int] = ..., waiting_count: _Optional[int] = ...) -> None: ...

class DrainWorkerRequest(_message.Message):
    __slots__ = ("worker_id", "undo")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    UNDO_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    undo: bool
    def __init__(self, worker_id: _Optional[str] = ..., undo: _Optional[bool] = ...) -> None: ...

class DrainWorkerResponse(_message.Message):
    __slots__ = ("worker",)
    WORKER_FIELD_NUMBER: _ClassVar[int]
    worker: WorkerInfo
    def __init__(self, worker: _Optional[_Union[WorkerInfo, _Mapping]] = ...) -> None: ...

class RequeueExecutionRequest(_message.Message):
    __slots__ = ("execution_id", "first")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    first: bool
    def __init__(self, execution_id: _Optional[str] = ..., first: _Optional[bool] = ...) -> None: ...

class RequeueExecutionResponse(_message.Message):
    __slots__ = ("execution",)
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    execution: _execution_pb2.Execution
    def __init__(self, execution: _Optional[_Union[_execution_pb2.Execution, _Mapping]] = ...) -> None: ...

class PurgeQueueRequest(_message.Message):
    __slots__ = ("workflow_id", "priority", "key", "created_before_time", "all", "reason", "dry_run", "limit")
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    CREATED_BEFORE_TIME_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    workflow_id: str
    priority: int
    key: str
    created_before_time: _timestamp_pb2.Timestamp
    all: bool
    reason: str
    dry_run: bool
    limit: int
    def __init__(self, workflow_id: _Optional[str] = ..., priority: _Optional[int] = ..., key: _Optional[str] = ..., created_before_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., all: _Optional[bool] = ..., reason: _Optional[str] = ..., dry_run: _Optional[bool] = ..., limit: _Optional[int] = ...) -> None: ...

class PurgeQueueResponse(_message.Message):
    __slots__ = ("count", "execution_ids", "more")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_IDS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    count: int
    execution_ids: _containers.RepeatedScalarFieldContainer[str]
    more: bool
    def __init__(self, count: _Optional[int] = ..., execution_ids: _Optional[_Iterable[str]] = ..., more: _Optional[bool] = ...) -> None: ...

class DiagnoseRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DiagnoseResponse(_message.Message):
    __slots__ = ("checks", "executor_time", "executor_id", "version")
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_TIME_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    checks: _containers.RepeatedCompositeFieldContainer[Check]
    executor_time: _timestamp_pb2.Timestamp
    executor_id: str
    version: str
    def __init__(self, checks: _Optional[_Iterable[_Union[Check, _Mapping]]] = ..., executor_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., executor_id: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class Check(_message.Message):
    __slots__ = ("name", "state", "finding", "remedy")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FINDING_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: CheckState
    finding: str
    remedy: str
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[CheckState, str]] = ..., finding: _Optional[str] = ..., remedy: _Optional[str] = ...) -> None: ...
