import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ResourceUsage(_message.Message):
    __slots__ = ("cpu_time", "peak_memory_bytes", "bytes_in", "bytes_out", "outside_calls", "ai_input_tokens", "ai_output_tokens")
    CPU_TIME_FIELD_NUMBER: _ClassVar[int]
    PEAK_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    OUTSIDE_CALLS_FIELD_NUMBER: _ClassVar[int]
    AI_INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    AI_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    cpu_time: _duration_pb2.Duration
    peak_memory_bytes: int
    bytes_in: int
    bytes_out: int
    outside_calls: int
    ai_input_tokens: int
    ai_output_tokens: int
    def __init__(self, cpu_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., peak_memory_bytes: _Optional[int] = ..., bytes_in: _Optional[int] = ..., bytes_out: _Optional[int] = ..., outside_calls: _Optional[int] = ..., ai_input_tokens: _Optional[int] = ..., ai_output_tokens: _Optional[int] = ...) -> None: ...

class GetStatsRequest(_message.Message):
    __slots__ = ("workflow_id", "start_time", "end_time", "bucket", "limit")
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    workflow_id: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    bucket: _duration_pb2.Duration
    limit: int
    def __init__(self, workflow_id: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., bucket: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., limit: _Optional[int] = ...) -> None: ...

class DurationQuantiles(_message.Message):
    __slots__ = ("p50", "p95", "p99", "mean")
    P50_FIELD_NUMBER: _ClassVar[int]
    P95_FIELD_NUMBER: _ClassVar[int]
    P99_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    p50: _duration_pb2.Duration
    p95: _duration_pb2.Duration
    p99: _duration_pb2.Duration
    mean: _duration_pb2.Duration
    def __init__(self, p50: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., p95: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., p99: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., mean: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ModeRegret(_message.Message):
    __slots__ = ("immediate_promoted", "queued_short", "rate")
    IMMEDIATE_PROMOTED_FIELD_NUMBER: _ClassVar[int]
    QUEUED_SHORT_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    immediate_promoted: int
    queued_short: int
    rate: float
    def __init__(self, immediate_promoted: _Optional[int] = ..., queued_short: _Optional[int] = ..., rate: _Optional[float] = ...) -> None: ...

class EstimateAccuracy(_message.Message):
    __slots__ = ("runs", "close_rate", "ratio_p50", "ratio_p95")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    CLOSE_RATE_FIELD_NUMBER: _ClassVar[int]
    RATIO_P50_FIELD_NUMBER: _ClassVar[int]
    RATIO_P95_FIELD_NUMBER: _ClassVar[int]
    runs: int
    close_rate: float
    ratio_p50: float
    ratio_p95: float
    def __init__(self, runs: _Optional[int] = ..., close_rate: _Optional[float] = ..., ratio_p50: _Optional[float] = ..., ratio_p95: _Optional[float] = ...) -> None: ...

class ExecutionStats(_message.Message):
    __slots__ = ("runs", "completed", "failed", "cancelled", "success_rate", "immediate", "queued", "duration", "queue_wait", "step_retries", "retries", "promotions", "mode_regret", "estimates", "usage")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_RATE_FIELD_NUMBER: _ClassVar[int]
    IMMEDIATE_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    QUEUE_WAIT_FIELD_NUMBER: _ClassVar[int]
    STEP_RETRIES_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    PROMOTIONS_FIELD_NUMBER: _ClassVar[int]
    MODE_REGRET_FIELD_NUMBER: _ClassVar[int]
    ESTIMATES_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    runs: int
    completed: int
    failed: int
    cancelled: int
    success_rate: float
    immediate: int
    queued: int
    duration: DurationQuantiles
    queue_wait: DurationQuantiles
    step_retries: int
    retries: int
    promotions: int
    mode_regret: ModeRegret
    estimates: EstimateAccuracy
    usage: ResourceUsage
    def __init__(self, runs: _Optional[int] = ..., completed: _Optional[int] = ..., failed: _Optional[int] = ..., cancelled: _Optional[int] = ..., success_rate: _Optional[float] = ..., immediate: _Optional[int] = ..., queued: _Optional[int] = ..., duration: _Optional[_Union[DurationQuantiles, _Mapping]] = ..., queue_wait: _Optional[_Union[DurationQuantiles, _Mapping]] = ..., step_retries: _Optional[int] = ..., retries: _Optional[int] = ..., promotions: _Optional[int] = ..., mode_regret: _Optional[_Union[ModeRegret, _Mapping]] = ..., estimates: _Optional[_Union[EstimateAccuracy, _Mapping]] = ..., usage: _Optional[_Union[ResourceUsage, _Mapping]] = ...) -> None: ...

class WorkflowStats(_message.Message):
    __slots__ = ("workflow_id", "stats")
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    STATS_FIELD_NUMBER: _ClassVar[int]
    workflow_id: str
    stats: ExecutionStats
    def __init__(self, workflow_id: _Optional[str] = ..., stats: _Optional[_Union[ExecutionStats, _Mapping]] = ...) -> None: ...

class NodeStats(_message.Message):
    __slots__ = ("runs", "completed", "failed", "cancelled", "success_rate", "retries", "duration", "usage", "node_type", "node_id", "workflow_id")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_RATE_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    NODE_TYPE_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    runs: int
    completed: int
    failed: int
    cancelled: int
    success_rate: float
    retries: int
    duration: DurationQuantiles
    usage: ResourceUsage
    node_type: str
    node_id: str
    workflow_id: str
    def __init__(self, runs: _Optional[int] = ..., completed: _Optional[int] = ..., failed: _Optional[int] = ..., cancelled: _Optional[int] = ..., success_rate: _Optional[float] = ..., retries: _Optional[int] = ..., duration: _Optional[_Union[DurationQuantiles, _Mapping]] = ..., usage: _Optional[_Union[ResourceUsage, _Mapping]] = ..., node_type: _Optional[str] = ..., node_id: _Optional[str] = ..., workflow_id: _Optional[str] = ...) -> None: ...

class ErrorStats(_message.Message):
    __slots__ = ("code", "workflow_id", "count", "execution_id", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    workflow_id: str
    count: int
    execution_id: str
    message: str
    def __init__(self, code: _Optional[str] = ..., workflow_id: _Optional[str] = ..., count: _Optional[int] = ..., execution_id: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class ThroughputPoint(_message.Message):
    __slots__ = ("start_time", "completed", "failed", "cancelled")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    completed: int
    failed: int
    cancelled: int
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., completed: _Optional[int] = ..., failed: _Optional[int] = ..., cancelled: _Optional[int] = ...) -> None: ...

class GetStatsResponse(_message.Message):
    __slots__ = ("start_time", "end_time", "total", "workflows", "node_types", "slowest_nodes", "errors", "throughput", "bucket", "uncounted")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    WORKFLOWS_FIELD_NUMBER: _ClassVar[int]
    NODE_TYPES_FIELD_NUMBER: _ClassVar[int]
    SLOWEST_NODES_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    THROUGHPUT_FIELD_NUMBER: _ClassVar[int]
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    UNCOUNTED_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    total: ExecutionStats
    workflows: _containers.RepeatedCompositeFieldContainer[WorkflowStats]
    node_types: _containers.RepeatedCompositeFieldContainer[NodeStats]
    slowest_nodes: _containers.RepeatedCompositeFieldContainer[NodeStats]
    errors: _containers.RepeatedCompositeFieldContainer[ErrorStats]
    throughput: _containers.RepeatedCompositeFieldContainer[ThroughputPoint]
    bucket: _duration_pb2.Duration
    uncounted: int
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., total: _Optional[_Union[ExecutionStats, _Mapping]] = ..., workflows: _Optional[_Iterable[_Union[WorkflowStats, _Mapping]]] = ..., node_types: _Optional[_Iterable[_Union[NodeStats, _Mapping]]] = ..., slowest_nodes: _Optional[_Iterable[_Union[NodeStats, _Mapping]]] = ..., errors: _Optional[_Iterable[_Union[ErrorStats, _Mapping]]] = ..., throughput: _Optional[_Iterable[_Union[ThroughputPoint, _Mapping]]] = ..., bucket: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., uncounted: _Optional[int] = ...) -> None: ...
