"""Where copies are put: whatever the plan, no device is taken twice, none is beyond its server, and no port is shared."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.plan.test_deploy import LLAMA, TARGETS, predicted
from windtunnel.catalog.chip import chip
from windtunnel.plan.deploy.instance import Service, instance
from windtunnel.plan.deploy.placed import placed
from windtunnel.plan.deploy.vllm import PORTS
from windtunnel.plan.result import Candidate
from windtunnel.sim.prediction import Deployment

DEGREES = st.tuples(st.sampled_from((1, 2, 4, 8)), st.sampled_from((1, 2, 3)), st.sampled_from((1, 2, 4, 6)))


@given(
    roles=st.lists(st.tuples(DEGREES, st.integers(1, 9)), min_size=1, max_size=2),
    name=st.sampled_from(("h20", "ascend-910c", "mi300x")),
    server=st.sampled_from((1, 4, 8)),
    packed=st.booleans(),
    each_rank=st.booleans(),
)
def test_no_two_containers_share_what_is_theirs(
    roles: list[tuple[tuple[int, int, int], int]], name: str, server: int, packed: bool, each_rank: bool
) -> None:
    on = chip(name)
    instances = []
    for role, ((tp, pp, dp), replicas) in zip(("serve",) if len(roles) == 1 else ("prefill", "decode"), roles, strict=True):
        prediction = predicted(Deployment(LLAMA.id, name, tp=tp, pp=pp, dp=dp), 8)
        instances.append(instance(role, prediction, replicas, LLAMA, on, server))
    candidate = Candidate(instances[-1].prediction, roles[-1][1], 1.0)
    service = Service(candidate, LLAMA, TARGETS, on, server, 8192, tuple(instances))
    parts = placed(service, PORTS, each_rank=each_rank, packed=packed)
    assert len(parts) == sum(it.nodes * it.replicas for it in instances)
    devices = [(part.server, number) for part in parts for number in part.devices]
    assert len(devices) == len(set(devices))
    assert all(0 <= number < server * on.devices for _, number in devices)
    ports = [(part.server, part.port + i) for part in parts for i in range(part.ports)]
    assert len(ports) == len(set(ports))
    for it in instances:
        of_role = [part for part in parts if part.it is it]
        assert sorted((part.copy, part.rank) for part in of_role) == [
            (copy, rank) for copy in range(it.replicas) for rank in range(it.nodes)
        ]
        assert all(part.server == part.head + part.rank for part in of_role)
