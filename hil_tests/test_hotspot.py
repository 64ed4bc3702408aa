"""A phone on the hotspot: what it reaches, what it does not, and what the node says of it."""

from collections.abc import Iterator

import pytest

from hil_tests.bench.protocols import PhonesProtocol
from hil_tests.bench.run import Bench
from hil_tests.checks import check_isolated, join_all

pytestmark = [pytest.mark.smoke, pytest.mark.needs("hotspot", "ssh")]
OWN = "10.80.0.1"


@pytest.fixture(scope="module")
def joined(bench: Bench) -> Iterator[dict[str, str]]:
    """Have every phone join; give their addresses."""
    bench.strategy.transition("provisioned")
    phones = bench.target.get_driver(PhonesProtocol)
    addresses = join_all(phones)
    yield addresses
    for name in addresses:
        phones.leave(name)


@pytest.fixture
def phones(node: Bench, joined: dict[str, str]) -> PhonesProtocol:
    assert joined
    return node.target.get_driver(PhonesProtocol)  # type: ignore[no-any-return]


def test_phones_get_addresses(joined: dict[str, str]) -> None:
    assert len(set(joined.values())) == len(joined) >= 2
    assert all(address.startswith("10.80.") for address in joined.values())


def test_a_phone_reaches_the_internet(phones: PhonesProtocol) -> None:
    assert phones.fetch(phones.names()[0], phones.internet()) is not None


def test_a_phone_does_not_reach_ssh(phones: PhonesProtocol) -> None:
    assert not phones.connects(phones.names()[0], OWN, 22)


def test_a_phone_does_not_reach_another(phones: PhonesProtocol, joined: dict[str, str]) -> None:
    check_isolated(phones, joined)


def test_the_node_counts_its_guests(node: Bench, joined: dict[str, str]) -> None:
    told = node.traffic.wait_for(
        "wifi",
        since=node.traffic.count(),
        timeout_seconds=120,
        that=lambda heard: heard.data()["stations_count"] == len(joined),
    )
    stations = told.data()["stations"]
    assert isinstance(stations, list)
    assert all(-90 < station["signal_dbm"] < 0 for station in stations)
