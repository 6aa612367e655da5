from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Address(_message.Message):
    __slots__ = ("transport", "url")
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    transport: str
    url: str
    def __init__(self, transport: _Optional[str] = ..., url: _Optional[str] = ...) -> None: ...

class NodeReport(_message.Message):
    __slots__ = ("name", "instance", "number", "version", "state", "reason", "addresses", "connections", "capacity", "subscriptions", "channels", "connect_rate_max", "connect_rate", "connect_cost_s", "cpu", "loop_lag_s", "memory_bytes", "publications_per_s", "bytes_out_per_s", "uptime_s", "leaving", "moving", "fence", "orders_refused", "broker_lost_s", "broker_outage")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[NodeReport.State]
        SERVING: _ClassVar[NodeReport.State]
        NOT_READY: _ClassVar[NodeReport.State]
        LEAVING: _ClassVar[NodeReport.State]
    STATE_UNSPECIFIED: NodeReport.State
    SERVING: NodeReport.State
    NOT_READY: NodeReport.State
    LEAVING: NodeReport.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    CONNECT_RATE_MAX_FIELD_NUMBER: _ClassVar[int]
    CONNECT_RATE_FIELD_NUMBER: _ClassVar[int]
    CONNECT_COST_S_FIELD_NUMBER: _ClassVar[int]
    CPU_FIELD_NUMBER: _ClassVar[int]
    LOOP_LAG_S_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    PUBLICATIONS_PER_S_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_PER_S_FIELD_NUMBER: _ClassVar[int]
    UPTIME_S_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    MOVING_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    ORDERS_REFUSED_FIELD_NUMBER: _ClassVar[int]
    BROKER_LOST_S_FIELD_NUMBER: _ClassVar[int]
    BROKER_OUTAGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    instance: str
    number: int
    version: str
    state: NodeReport.State
    reason: str
    addresses: _containers.RepeatedCompositeFieldContainer[Address]
    connections: int
    capacity: int
    subscriptions: int
    channels: int
    connect_rate_max: float
    connect_rate: float
    connect_cost_s: float
    cpu: float
    loop_lag_s: float
    memory_bytes: int
    publications_per_s: float
    bytes_out_per_s: float
    uptime_s: float
    leaving: Leaving
    moving: Moving
    fence: int
    orders_refused: int
    broker_lost_s: float
    broker_outage: int
    def __init__(self, name: _Optional[str] = ..., instance: _Optional[str] = ..., number: _Optional[int] = ..., version: _Optional[str] = ..., state: _Optional[_Union[NodeReport.State, str]] = ..., reason: _Optional[str] = ..., addresses: _Optional[_Iterable[_Union[Address, _Mapping]]] = ..., connections: _Optional[int] = ..., capacity: _Optional[int] = ..., subscriptions: _Optional[int] = ..., channels: _Optional[int] = ..., connect_rate_max: _Optional[float] = ..., connect_rate: _Optional[float] = ..., connect_cost_s: _Optional[float] = ..., cpu: _Optional[float] = ..., loop_lag_s: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., publications_per_s: _Optional[float] = ..., bytes_out_per_s: _Optional[float] = ..., uptime_s: _Optional[float] = ..., leaving: _Optional[_Union[Leaving, _Mapping]] = ..., moving: _Optional[_Union[Moving, _Mapping]] = ..., fence: _Optional[int] = ..., orders_refused: _Optional[int] = ..., broker_lost_s: _Optional[float] = ..., broker_outage: _Optional[int] = ...) -> None: ...

class Leaving(_message.Message):
    __slots__ = ("phase", "plan_id", "on_its_own", "stop", "sent_away", "rate", "ends_in_s", "cut_off")
    class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PHASE_UNSPECIFIED: _ClassVar[Leaving.Phase]
        WAITING: _ClassVar[Leaving.Phase]
        SENDING: _ClassVar[Leaving.Phase]
        EMPTY: _ClassVar[Leaving.Phase]
    PHASE_UNSPECIFIED: Leaving.Phase
    WAITING: Leaving.Phase
    SENDING: Leaving.Phase
    EMPTY: Leaving.Phase
    PHASE_FIELD_NUMBER: _ClassVar[int]
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    ON_ITS_OWN_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    SENT_AWAY_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    ENDS_IN_S_FIELD_NUMBER: _ClassVar[int]
    CUT_OFF_FIELD_NUMBER: _ClassVar[int]
    phase: Leaving.Phase
    plan_id: str
    on_its_own: bool
    stop: bool
    sent_away: int
    rate: float
    ends_in_s: float
    cut_off: bool
    def __init__(self, phase: _Optional[_Union[Leaving.Phase, str]] = ..., plan_id: _Optional[str] = ..., on_its_own: _Optional[bool] = ..., stop: _Optional[bool] = ..., sent_away: _Optional[int] = ..., rate: _Optional[float] = ..., ends_in_s: _Optional[float] = ..., cut_off: _Optional[bool] = ...) -> None: ...

class Moving(_message.Message):
    __slots__ = ("plan_id", "sent_away", "count")
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    SENT_AWAY_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    plan_id: str
    sent_away: int
    count: int
    def __init__(self, plan_id: _Optional[str] = ..., sent_away: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class Order(_message.Message):
    __slots__ = ("node", "instance", "fence", "number", "plan_id", "action", "rate", "ends_in_s", "stop", "pick", "count", "age_min_s", "cut_off")
    class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ACTION_UNSPECIFIED: _ClassVar[Order.Action]
        SERVE: _ClassVar[Order.Action]
        DRAIN: _ClassVar[Order.Action]
        MOVE: _ClassVar[Order.Action]
    ACTION_UNSPECIFIED: Order.Action
    SERVE: Order.Action
    DRAIN: Order.Action
    MOVE: Order.Action
    class Pick(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PICK_UNSPECIFIED: _ClassVar[Order.Pick]
        RANDOM: _ClassVar[Order.Pick]
        LARGEST_FIRST: _ClassVar[Order.Pick]
    PICK_UNSPECIFIED: Order.Pick
    RANDOM: Order.Pick
    LARGEST_FIRST: Order.Pick
    NODE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    ENDS_IN_S_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    PICK_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    AGE_MIN_S_FIELD_NUMBER: _ClassVar[int]
    CUT_OFF_FIELD_NUMBER: _ClassVar[int]
    node: str
    instance: str
    fence: int
    number: int
    plan_id: str
    action: Order.Action
    rate: float
    ends_in_s: float
    stop: bool
    pick: Order.Pick
    count: int
    age_min_s: float
    cut_off: bool
    def __init__(self, node: _Optional[str] = ..., instance: _Optional[str] = ..., fence: _Optional[int] = ..., number: _Optional[int] = ..., plan_id: _Optional[str] = ..., action: _Optional[_Union[Order.Action, str]] = ..., rate: _Optional[float] = ..., ends_in_s: _Optional[float] = ..., stop: _Optional[bool] = ..., pick: _Optional[_Union[Order.Pick, str]] = ..., count: _Optional[int] = ..., age_min_s: _Optional[float] = ..., cut_off: _Optional[bool] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("id", "kind", "state", "note", "steps", "unavailable_max", "deadline_s", "stop", "resume", "force", "pick", "on_its_own", "rate", "fence", "requested_at", "started_at", "ended_at", "cut_off")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Plan.Kind]
        DRAIN: _ClassVar[Plan.Kind]
        REBALANCE: _ClassVar[Plan.Kind]
    KIND_UNSPECIFIED: Plan.Kind
    DRAIN: Plan.Kind
    REBALANCE: Plan.Kind
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Plan.State]
        REQUESTED: _ClassVar[Plan.State]
        RUNNING: _ClassVar[Plan.State]
        DONE: _ClassVar[Plan.State]
        FAILED: _ClassVar[Plan.State]
        CANCELLING: _ClassVar[Plan.State]
        CANCELLED: _ClassVar[Plan.State]
    STATE_UNSPECIFIED: Plan.State
    REQUESTED: Plan.State
    RUNNING: Plan.State
    DONE: Plan.State
    FAILED: Plan.State
    CANCELLING: Plan.State
    CANCELLED: Plan.State
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_MAX_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    PICK_FIELD_NUMBER: _ClassVar[int]
    ON_ITS_OWN_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    CUT_OFF_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: Plan.Kind
    state: Plan.State
    note: str
    steps: _containers.RepeatedCompositeFieldContainer[NodeStep]
    unavailable_max: int
    deadline_s: float
    stop: bool
    resume: bool
    force: bool
    pick: Order.Pick
    on_its_own: bool
    rate: float
    fence: int
    requested_at: float
    started_at: float
    ended_at: float
    cut_off: bool
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[_Union[Plan.Kind, str]] = ..., state: _Optional[_Union[Plan.State, str]] = ..., note: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[NodeStep, _Mapping]]] = ..., unavailable_max: _Optional[int] = ..., deadline_s: _Optional[float] = ..., stop: _Optional[bool] = ..., resume: _Optional[bool] = ..., force: _Optional[bool] = ..., pick: _Optional[_Union[Order.Pick, str]] = ..., on_its_own: _Optional[bool] = ..., rate: _Optional[float] = ..., fence: _Optional[int] = ..., requested_at: _Optional[float] = ..., started_at: _Optional[float] = ..., ended_at: _Optional[float] = ..., cut_off: _Optional[bool] = ...) -> None: ...

class NodeStep(_message.Message):
    __slots__ = ("node", "instance", "state", "connections_before", "connections", "count", "sent_away", "rate", "remaining_s", "running_s", "ends_in_s", "note")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[NodeStep.State]
        PENDING: _ClassVar[NodeStep.State]
        ORDERED: _ClassVar[NodeStep.State]
        WAITING: _ClassVar[NodeStep.State]
        SENDING: _ClassVar[NodeStep.State]
        DONE: _ClassVar[NodeStep.State]
        FAILED: _ClassVar[NodeStep.State]
        RETURNING: _ClassVar[NodeStep.State]
    STATE_UNSPECIFIED: NodeStep.State
    PENDING: NodeStep.State
    ORDERED: NodeStep.State
    WAITING: NodeStep.State
    SENDING: NodeStep.State
    DONE: NodeStep.State
    FAILED: NodeStep.State
    RETURNING: NodeStep.State
    NODE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SENT_AWAY_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    REMAINING_S_FIELD_NUMBER: _ClassVar[int]
    RUNNING_S_FIELD_NUMBER: _ClassVar[int]
    ENDS_IN_S_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    node: str
    instance: str
    state: NodeStep.State
    connections_before: int
    connections: int
    count: int
    sent_away: int
    rate: float
    remaining_s: float
    running_s: float
    ends_in_s: float
    note: str
    def __init__(self, node: _Optional[str] = ..., instance: _Optional[str] = ..., state: _Optional[_Union[NodeStep.State, str]] = ..., connections_before: _Optional[int] = ..., connections: _Optional[int] = ..., count: _Optional[int] = ..., sent_away: _Optional[int] = ..., rate: _Optional[float] = ..., remaining_s: _Optional[float] = ..., running_s: _Optional[float] = ..., ends_in_s: _Optional[float] = ..., note: _Optional[str] = ...) -> None: ...

class Leader(_message.Message):
    __slots__ = ("name", "url", "fence", "renewals")
    NAME_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    RENEWALS_FIELD_NUMBER: _ClassVar[int]
    name: str
    url: str
    fence: int
    renewals: int
    def __init__(self, name: _Optional[str] = ..., url: _Optional[str] = ..., fence: _Optional[int] = ..., renewals: _Optional[int] = ...) -> None: ...
