"""What the pure part of the coordinator is told: plain figures, filled from the configuration."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RebalanceSettings:
    """When the load is uneven, and how it is evened out; see `coordinator.rebalance` of the configuration."""

    automatic: bool = False
    # Between the end of one automatic rebalance and the start of the next.
    interval_s: float = 60.0
    # A node is too full when it is above its share by more than both.
    threshold_sessions: int = 100
    threshold_relative: float = 0.1
    # Sessions younger than this are not moved.
    age_min_s: float = 300.0


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """What plans reckon with.

    Attributes:
        ttl_s: a node that was silent for so long is taken for dead.
        connect_share: of the new sessions per second that a node can take, the share that plans use.
        connect_rate_default: new sessions per second a node is thought to take that has neither a limit nor
            a measured cost of a session.
        settle_s: how long a node waits, once out of rotation, for arrivals to stop before it sends anyone, as
            far as that can be told beforehand.
        lag_s: from an order to the report that shows its effect: the catalog both ways, the step of the
            coordinator, the client's own delay before it connects again.
        obey_s: a node that shows no sign of obeying for so long is said not to.
        serve_limit_s: how long a node is told to serve again, or to stop moving clients, before it is given
            up.
        overdue_s: how long after its deadline a step is given up.
        return_limit_s: how long a rolling drain waits for a node, or one in its place, to come back.
        rebalance: see there.
    """

    ttl_s: float = 5.0
    connect_share: float = 0.7
    connect_rate_default: float = 100.0
    settle_s: float = 5.0
    lag_s: float = 3.0
    obey_s: float = 5.0
    serve_limit_s: float = 30.0
    overdue_s: float = 10.0
    return_limit_s: float = 300.0
    rebalance: RebalanceSettings = field(default_factory=RebalanceSettings)
