"""Which links ranks talk over, and what a collective takes inside a domain and across several."""

from __future__ import annotations

import pytest

from tests.cost.made import LINK, scaled
from windtunnel.catalog import System, chip, chips, system, systems
from windtunnel.cost import formulas as f
from windtunnel.cost.evidence import Evidence
from windtunnel.cost.formulas import PLAIN
from windtunnel.cost.links import Links
from windtunnel.cost.model import NETWORK_EFFICIENCY, NETWORK_START_S, NODE_COPIES, CostModel
from windtunnel.errors import MissingFactError
from windtunnel.workload.ops import Collective


def all_reduce(ranks: float, size: float = 1e8) -> Collective:
    return Collective("sum", "all_reduce", size, ranks)


def test_a_pair_in_a_full_mesh_has_one_link_of_seven() -> None:
    links, whole = Links.of(chip("mi300x")), chip("mi300x").value("scaleup_bytes_per_s")
    assert links.pair_bytes_per_s == pytest.approx(whole / 7)
    assert [links.among(n) for n in (2.0, 4.0, 8.0)] == pytest.approx([whole / 7, 3 * whole / 7, whole])


def test_a_switch_gives_every_group_all_of_it() -> None:
    links = Links.of(chip("h100-sxm"))
    assert links.pair_bytes_per_s == links.among(2.0) == links.among(8.0) == 450e9


def test_two_chips_of_a_mesh_are_priced_over_their_link() -> None:
    costs = CostModel(chip("mi300x"))
    p = costs.family("all_reduce").values
    assert costs.cost(all_reduce(2.0)).time_s == f.collective(PLAIN, p, 64e9, 1.0, 1e8, 2.0)[0]
    assert costs.cost(all_reduce(8.0)).time_s == f.collective(PLAIN, p, 448e9, 1.75, 1e8, 8.0)[0]
    sent = costs.cost(Collective("send", "p2p", 1e8, 2.0)).time_s
    assert sent == f.collective(PLAIN, costs.family("all_gather").values, 64e9, 1.0, 1e8, 2.0)[0]


def test_cards_of_one_host_meet_over_pcie() -> None:
    links = Links.of(chip("rtx-4090"))
    assert (links.domain, links.scaleup_bytes_per_s, links.scaleout_bytes_per_s) == (8, 32e9, 0.0)
    assert CostModel(chip("rtx-4090")).cost(all_reduce(2.0)).time_s > 1e8 / 32e9


def test_a_domain_ends_where_the_server_does() -> None:
    links = Links.of(chip("h100-sxm"))
    assert not links.across(8.0)
    assert links.across(9.0)
    assert not Links.of(chip("gb200")).across(72.0)


def test_two_servers_share_a_sum_over_all_their_cards() -> None:
    costs = CostModel(chip("h100-sxm"))
    inside = costs.cost(all_reduce(8.0))
    both = costs.cost(all_reduce(16.0))
    # two domains: 2 (2-1)/2 of an eighth of the tensor leaves over each card
    outside = 1e8 / 8 / (50e9 * NETWORK_EFFICIENCY) + NETWORK_START_S
    assert both.time_s == pytest.approx(inside.time_s + outside)
    assert (both.bound, both.evidence) == ("link", Evidence.DATASHEET)


def test_gathering_and_scattering_share_cards() -> None:
    costs = CostModel(chip("h100-sxm"))

    def outside(kind: str) -> float:
        one, two = (costs.cost(Collective("x", kind, 1e8, n)).time_s for n in (8.0, 16.0))  # type: ignore[arg-type]
        return two - one - NETWORK_START_S

    half = 0.5 * 1e8 / (50e9 * NETWORK_EFFICIENCY)
    assert [outside("all_gather"), outside("reduce_scatter")] == pytest.approx([half / 8, half / 8])


def test_what_several_ranks_of_a_server_need_travels_once_and_beside_what_stays() -> None:
    sent = CostModel(chip("h100-sxm")).cost(Collective("x", "all_to_all", 1e8, 16.0)).time_s
    assert sent == pytest.approx(NODE_COPIES * 0.5 * 1e8 / (50e9 * NETWORK_EFFICIENCY) + NETWORK_START_S)


def test_a_domain_that_is_not_full_is_one_more() -> None:
    costs = CostModel(chip("h100-sxm"))
    three, four = (costs.cost(Collective("x", "all_to_all", 1e8, n)).time_s for n in (18.0, 24.0))
    assert three == pytest.approx(four, rel=0.1)


def test_a_send_to_another_server_does_not_cross_the_own() -> None:
    costs = CostModel(chip("h100-sxm"))
    sent = costs.cost(Collective("send", "p2p", 1e8, 9.0)).time_s
    assert sent == pytest.approx(1e8 / (50e9 * NETWORK_EFFICIENCY) + NETWORK_START_S)


def test_a_network_that_nobody_published_is_named() -> None:
    with pytest.raises(MissingFactError, match=r"scaleout_bytes_per_s of kunlun-p800; sum crosses scale-up domains of 8"):
        CostModel(chip("kunlun-p800")).cost(all_reduce(16.0))


def test_a_link_that_nobody_published_is_named() -> None:
    with pytest.raises(MissingFactError, match=r"scaleup_bytes_per_s of bi-v150; sum needs the link between 4 chips"):
        CostModel(chip("bi-v150")).cost(all_reduce(4.0))


def test_one_rank_or_nothing_to_say_needs_no_link() -> None:
    costs = CostModel(chip("bi-v150"))
    assert costs.cost(all_reduce(1.0)).time_s == costs.cost(all_reduce(8.0, 0.0)).time_s == 0.0


@pytest.mark.parametrize("of", systems(), ids=lambda s: s.id)
def test_a_system_is_as_its_record_says(of: System) -> None:
    whole = of
    links = Links.of(whole.its_chip(), whole)
    if whole.has("scaleup_chips"):
        assert links.domain == whole.value("scaleup_chips")
    if whole.has("scaleup_bytes_per_s"):
        assert links.scaleup_bytes_per_s == whole.value("scaleup_bytes_per_s")


def test_a_supernode_counts_packages_and_ranks_count_dies() -> None:
    die, whole = chip("ascend-910c-die"), system("cloudmatrix-384")
    links = Links.of(die, whole, devices=2)
    assert links.domain == 768
    assert links.scaleup_bytes_per_s == whole.value("scaleup_bytes_per_s") / 2


def test_more_link_is_never_slower() -> None:
    for ranks in (2.0, 8.0, 16.0):
        for kind in ("all_reduce", "all_gather", "reduce_scatter", "all_to_all"):
            op = Collective("x", kind, 1e7, ranks)
            times = [CostModel(scaled("mi300x", LINK, by)).cost(op).time_s for by in (0.5, 1.0, 3.0)]
            assert times == sorted(times, reverse=True)


def test_more_ranks_are_never_faster_on_a_switch() -> None:
    costs = CostModel(chip("h100-sxm"))
    for size in (1e3, 1e6, 1e9):
        times = [costs.cost(all_reduce(n, size)).time_s for n in (1.0, 2.0, 4.0, 8.0, 16.0, 64.0)]
        assert times == sorted(times)


def test_every_chip_has_links_that_make_sense() -> None:
    for of in chips():
        links = Links.of(of)
        assert links.domain >= 1
        assert 0.0 <= links.pair_bytes_per_s <= links.scaleup_bytes_per_s
