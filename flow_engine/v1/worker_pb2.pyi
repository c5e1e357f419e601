import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SessionRequest(_message.Message):
    __slots__ = ("worker_id", "slots", "free_slots", "hostname", "process_id", "version", "capabilities")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    FREE_SLOTS_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    PROCESS_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    slots: int
    free_slots: int
    hostname: str
    process_id: int
    version: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, worker_id: _Optional[str] = ..., slots: _Optional[int] = ..., free_slots: _Optional[int] = ..., hostname: _Optional[str] = ..., process_id: _Optional[int] = ..., version: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ...) -> None: ...

class SessionResponse(_message.Message):
    __slots__ = ("nudges",)
    NUDGES_FIELD_NUMBER: _ClassVar[int]
    nudges: _containers.RepeatedCompositeFieldContainer[Nudge]
    def __init__(self, nudges: _Optional[_Iterable[_Union[Nudge, _Mapping]]] = ...) -> None: ...

class Nudge(_message.Message):
    __slots__ = ("execution_id", "epoch", "foreign_sequence")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FOREIGN_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    epoch: int
    foreign_sequence: int
    def __init__(self, execution_id: _Optional[str] = ..., epoch: _Optional[int] = ..., foreign_sequence: _Optional[int] = ...) -> None: ...

class ClaimNextRequest(_message.Message):
    __slots__ = ("worker_id", "claim_id", "free_slots", "capabilities", "snapshot_format")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    FREE_SLOTS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FORMAT_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    claim_id: str
    free_slots: int
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    snapshot_format: int
    def __init__(self, worker_id: _Optional[str] = ..., claim_id: _Optional[str] = ..., free_slots: _Optional[int] = ..., capabilities: _Optional[_Iterable[str]] = ..., snapshot_format: _Optional[int] = ...) -> None: ...

class ClaimNextResponse(_message.Message):
    __slots__ = ("executions",)
    EXECUTIONS_FIELD_NUMBER: _ClassVar[int]
    executions: _containers.RepeatedCompositeFieldContainer[ClaimedExecution]
    def __init__(self, executions: _Optional[_Iterable[_Union[ClaimedExecution, _Mapping]]] = ...) -> None: ...

class ClaimedExecution(_message.Message):
    __slots__ = ("execution_id", "epoch", "report_no", "definition_hash", "snapshot", "batches", "last_sequence", "database_time", "deadline_time", "lease", "quarantined", "callback_url", "callback_key")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    REPORT_NO_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_HASH_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DATABASE_TIME_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_TIME_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_FIELD_NUMBER: _ClassVar[int]
    CALLBACK_URL_FIELD_NUMBER: _ClassVar[int]
    CALLBACK_KEY_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    epoch: int
    report_no: int
    definition_hash: str
    snapshot: bytes
    batches: _containers.RepeatedCompositeFieldContainer[EventBatch]
    last_sequence: int
    database_time: _timestamp_pb2.Timestamp
    deadline_time: _timestamp_pb2.Timestamp
    lease: _duration_pb2.Duration
    quarantined: bool
    callback_url: str
    callback_key: bytes
    def __init__(self, execution_id: _Optional[str] = ..., epoch: _Optional[int] = ..., report_no: _Optional[int] = ..., definition_hash: _Optional[str] = ..., snapshot: _Optional[bytes] = ..., batches: _Optional[_Iterable[_Union[EventBatch, _Mapping]]] = ..., last_sequence: _Optional[int] = ..., database_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., deadline_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., quarantined: _Optional[bool] = ..., callback_url: _Optional[str] = ..., callback_key: _Optional[bytes] = ...) -> None: ...

class ReportRequest(_message.Message):
    __slots__ = ("worker_id", "reports")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    reports: _containers.RepeatedCompositeFieldContainer[ExecutionReport]
    def __init__(self, worker_id: _Optional[str] = ..., reports: _Optional[_Iterable[_Union[ExecutionReport, _Mapping]]] = ...) -> None: ...

class ExecutionReport(_message.Message):
    __slots__ = ("execution_id", "epoch", "report_no", "seen_sequence", "events_json", "event_count", "payloads", "require_seen", "give_up", "snapshot", "has_outcome")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    REPORT_NO_FIELD_NUMBER: _ClassVar[int]
    SEEN_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EVENTS_JSON_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    PAYLOADS_FIELD_NUMBER: _ClassVar[int]
    REQUIRE_SEEN_FIELD_NUMBER: _ClassVar[int]
    GIVE_UP_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    HAS_OUTCOME_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    epoch: int
    report_no: int
    seen_sequence: int
    events_json: bytes
    event_count: int
    payloads: _containers.RepeatedCompositeFieldContainer[Payload]
    require_seen: bool
    give_up: GiveUp
    snapshot: bytes
    has_outcome: bool
    def __init__(self, execution_id: _Optional[str] = ..., epoch: _Optional[int] = ..., report_no: _Optional[int] = ..., seen_sequence: _Optional[int] = ..., events_json: _Optional[bytes] = ..., event_count: _Optional[int] = ..., payloads: _Optional[_Iterable[_Union[Payload, _Mapping]]] = ..., require_seen: _Optional[bool] = ..., give_up: _Optional[_Union[GiveUp, _Mapping]] = ..., snapshot: _Optional[bytes] = ..., has_outcome: _Optional[bool] = ...) -> None: ...

class Payload(_message.Message):
    __slots__ = ("hash", "value_json")
    HASH_FIELD_NUMBER: _ClassVar[int]
    VALUE_JSON_FIELD_NUMBER: _ClassVar[int]
    hash: str
    value_json: bytes
    def __init__(self, hash: _Optional[str] = ..., value_json: _Optional[bytes] = ...) -> None: ...

class GiveUp(_message.Message):
    __slots__ = ("status", "wake_time", "wake_timer", "all_waiting", "result_json", "error_json", "waits_json")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    WAKE_TIME_FIELD_NUMBER: _ClassVar[int]
    WAKE_TIMER_FIELD_NUMBER: _ClassVar[int]
    ALL_WAITING_FIELD_NUMBER: _ClassVar[int]
    RESULT_JSON_FIELD_NUMBER: _ClassVar[int]
    ERROR_JSON_FIELD_NUMBER: _ClassVar[int]
    WAITS_JSON_FIELD_NUMBER: _ClassVar[int]
    status: str
    wake_time: _timestamp_pb2.Timestamp
    wake_timer: str
    all_waiting: bool
    result_json: bytes
    error_json: bytes
    waits_json: bytes
    def __init__(self, status: _Optional[str] = ..., wake_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., wake_timer: _Optional[str] = ..., all_waiting: _Optional[bool] = ..., result_json: _Optional[bytes] = ..., error_json: _Optional[bytes] = ..., waits_json: _Optional[bytes] = ...) -> None: ...

class ReportResponse(_message.Message):
    __slots__ = ("replies", "executions")
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    EXECUTIONS_FIELD_NUMBER: _ClassVar[int]
    replies: _containers.RepeatedCompositeFieldContainer[ReportReply]
    executions: _containers.RepeatedCompositeFieldContainer[ClaimedExecution]
    def __init__(self, replies: _Optional[_Iterable[_Union[ReportReply, _Mapping]]] = ..., executions: _Optional[_Iterable[_Union[ClaimedExecution, _Mapping]]] = ...) -> None: ...

class ReportReply(_message.Message):
    __slots__ = ("execution_id", "outcome", "first_sequence", "last_sequence", "unseen")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    UNSEEN_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    outcome: str
    first_sequence: int
    last_sequence: int
    unseen: _containers.RepeatedCompositeFieldContainer[EventBatch]
    def __init__(self, execution_id: _Optional[str] = ..., outcome: _Optional[str] = ..., first_sequence: _Optional[int] = ..., last_sequence: _Optional[int] = ..., unseen: _Optional[_Iterable[_Union[EventBatch, _Mapping]]] = ...) -> None: ...

class EventBatch(_message.Message):
    __slots__ = ("first_sequence", "events_json")
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EVENTS_JSON_FIELD_NUMBER: _ClassVar[int]
    first_sequence: int
    events_json: bytes
    def __init__(self, first_sequence: _Optional[int] = ..., events_json: _Optional[bytes] = ...) -> None: ...

class RenewLeasesRequest(_message.Message):
    __slots__ = ("worker_id", "leases")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    leases: _containers.RepeatedCompositeFieldContainer[Lease]
    def __init__(self, worker_id: _Optional[str] = ..., leases: _Optional[_Iterable[_Union[Lease, _Mapping]]] = ...) -> None: ...

class Lease(_message.Message):
    __slots__ = ("execution_id", "epoch")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    epoch: int
    def __init__(self, execution_id: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class RenewLeasesResponse(_message.Message):
    __slots__ = ("lost_execution_ids",)
    LOST_EXECUTION_IDS_FIELD_NUMBER: _ClassVar[int]
    lost_execution_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, lost_execution_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("worker_id", "leases", "process_died")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    PROCESS_DIED_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    leases: _containers.RepeatedCompositeFieldContainer[Lease]
    process_died: bool
    def __init__(self, worker_id: _Optional[str] = ..., leases: _Optional[_Iterable[_Union[Lease, _Mapping]]] = ..., process_died: _Optional[bool] = ...) -> None: ...

class ReleaseResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetDefinitionRequest(_message.Message):
    __slots__ = ("definition_hash", "execution_id", "worker_id")
    DEFINITION_HASH_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    definition_hash: str
    execution_id: str
    worker_id: str
    def __init__(self, definition_hash: _Optional[str] = ..., execution_id: _Optional[str] = ..., worker_id: _Optional[str] = ...) -> None: ...

class GetDefinitionResponse(_message.Message):
    __slots__ = ("definition_json",)
    DEFINITION_JSON_FIELD_NUMBER: _ClassVar[int]
    definition_json: bytes
    def __init__(self, definition_json: _Optional[bytes] = ...) -> None: ...

class GetPayloadRequest(_message.Message):
    __slots__ = ("hash", "offset", "execution_id", "worker_id")
    HASH_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    hash: str
    offset: int
    execution_id: str
    worker_id: str
    def __init__(self, hash: _Optional[str] = ..., offset: _Optional[int] = ..., execution_id: _Optional[str] = ..., worker_id: _Optional[str] = ...) -> None: ...

class GetPayloadResponse(_message.Message):
    __slots__ = ("value_json", "total_bytes")
    VALUE_JSON_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    value_json: bytes
    total_bytes: int
    def __init__(self, value_json: _Optional[bytes] = ..., total_bytes: _Optional[int] = ...) -> None: ...
