"""Rebalances of large fleets: one plan is enough, and it does not set off the next one."""

import pytest

from coordinator.drain_plan import Refusal
from coordinator.rebalance_plan import plan_rebalance
from protos.catalog_pb2 import Plan
from protos.coordinator_pb2 import RebalanceRequest
from tests.simulation.fleet import Fleet
from tests.simulation.node import SimNode
from tests.simulation.test_drains import check_receivers, ended


def even_out(fleet: Fleet, plan_id: str) -> Plan | Refusal:
    return plan_rebalance(RebalanceRequest(), plan_id, fleet.view, fleet.plans, fleet.clock, fleet.settings)


@pytest.mark.parametrize(
    ("full", "empty", "placed"), [(90, 10, False), (50, 50, False), (2, 98, False), (16, 4, True)]
)
def test_a_grown_fleet_is_even_after_one_plan(full: int, empty: int, placed: bool) -> None:
    """New empty nodes get clients at a rate that nobody suffers from, and then it is quiet."""
    count = 10_000 if not placed else 5_000
    fleet = Fleet(
        [
            *(SimNode(f"full-{index:03}", connections=count) for index in range(full)),
            *(SimNode(f"empty-{index:03}") for index in range(empty)),
        ],
        placed=placed,
    )
    fleet.run(3)
    plan = even_out(fleet, "first")
    assert isinstance(plan, Plan)
    fleet.plans.append(plan)
    fleet.run(1000, until=lambda: ended(fleet))
    fleet.run(5)
    assert fleet.plans[0].state == Plan.DONE, fleet.plans[0].note
    again = even_out(fleet, "second")
    assert isinstance(again, Refusal)
    assert "even" in again.words
    check_receivers(fleet)
    mean = fleet.clients / (full + empty)
    assert max(node.connections for node in fleet.nodes) < mean + max(100, mean * 0.1)


@pytest.mark.parametrize(("full", "empty", "rate"), [(2, 1, 100.0), (2, 2, 200.0), (16, 4, 100.0)])
def test_nobody_goes_on_sending_below_the_share(full: int, empty: int, rate: float) -> None:
    """Clients that are placed on new nodes do not come back, and word of the end comes late."""
    fleet = Fleet(
        [
            *(SimNode(f"full-{i}", 1_000, connections=900, connect_rate_max=rate) for i in range(full)),
            *(SimNode(f"empty-{i}", 1_000, connect_rate_max=rate) for i in range(empty)),
        ],
        placed=True,
    )
    fleet.run(3)
    plan = even_out(fleet, "even")
    assert isinstance(plan, Plan)
    fleet.plans.append(plan)
    fleet.run(1000, until=lambda: ended(fleet))
    fleet.run(5)
    assert fleet.plans[0].state == Plan.DONE, fleet.plans[0].note
    assert fleet.everyone() == fleet.clients
    share = 900 * full / (full + empty)
    # What is on its way between two nodes is not seen in anybody's share, and placing is by chance.
    assert all(abs(node.connections - share) < 0.05 * share for node in fleet.nodes)


def test_a_rebalance_waits_while_nodes_leave() -> None:
    """What the receivers can take belongs to the drain until it has ended; then the moves go on."""
    fleet = Fleet([*(SimNode(f"full-{i}", connections=5_000) for i in range(10)), SimNode("empty")])
    fleet.run(3)
    plan = even_out(fleet, "even")
    assert isinstance(plan, Plan)
    fleet.plans.append(plan)
    fleet.run(3)
    fleet.node("full-9").leave(fleet.now, 60, on_its_own=True)
    fleet.run(3)
    moved = [node.moved for node in fleet.nodes]
    fleet.run(3)
    assert [node.moved for node in fleet.nodes] == moved
    assert "waits" in fleet.plans[0].steps[0].note
    fleet.run(1000, until=lambda: ended(fleet))
    assert [plan.state for plan in fleet.plans] == [Plan.DONE, Plan.DONE]
    check_receivers(fleet)
