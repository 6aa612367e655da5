from protos import catalog_pb2 as _catalog_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListNodesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListNodesResponse(_message.Message):
    __slots__ = ("nodes", "leader", "plans")
    NODES_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    PLANS_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[_catalog_pb2.NodeReport]
    leader: _catalog_pb2.Leader
    plans: _containers.RepeatedCompositeFieldContainer[_catalog_pb2.Plan]
    def __init__(self, nodes: _Optional[_Iterable[_Union[_catalog_pb2.NodeReport, _Mapping]]] = ..., leader: _Optional[_Union[_catalog_pb2.Leader, _Mapping]] = ..., plans: _Optional[_Iterable[_Union[_catalog_pb2.Plan, _Mapping]]] = ...) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = ("nodes", "all", "deadline_s", "unavailable_max", "stop", "resume", "force", "pick", "dry_run")
    NODES_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_MAX_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    PICK_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedScalarFieldContainer[str]
    all: bool
    deadline_s: float
    unavailable_max: int
    stop: bool
    resume: bool
    force: bool
    pick: _catalog_pb2.Order.Pick
    dry_run: bool
    def __init__(self, nodes: _Optional[_Iterable[str]] = ..., all: _Optional[bool] = ..., deadline_s: _Optional[float] = ..., unavailable_max: _Optional[int] = ..., stop: _Optional[bool] = ..., resume: _Optional[bool] = ..., force: _Optional[bool] = ..., pick: _Optional[_Union[_catalog_pb2.Order.Pick, str]] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class UndrainRequest(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: str
    def __init__(self, node: _Optional[str] = ...) -> None: ...

class UndrainResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RebalanceRequest(_message.Message):
    __slots__ = ("rate", "dry_run")
    RATE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    rate: float
    dry_run: bool
    def __init__(self, rate: _Optional[float] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class WatchPlanRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CancelPlanRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...
