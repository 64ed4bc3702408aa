"""Asks the running kernel for real: a family that every kernel has, and one that none has."""

import socket
import time
from pathlib import Path

import pytest

from node.errors import RadioError
from node.hotspot import netlink, nl80211_transport
from node.hotspot.nl80211_transport import GET_STATION, KernelTransport, ReplayTransport

_GET_FAMILY = 3


def test_the_kernel_answers_a_dump_in_many_messages() -> None:
    families = netlink.contents(KernelTransport("nlctrl").dump(_GET_FAMILY))
    assert len(families) > 1
    assert any(b"nlctrl\0" in family for family in families)


def test_a_dump_in_several_pieces_is_awaited_to_its_end() -> None:
    whole = (Path(__file__).parent / "fixtures" / "station_four.bin").read_bytes()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        at = 0
        for message in netlink.messages(whole):
            theirs.send(whole[at : at + netlink.aligned(len(message.raw))])
            at += netlink.aligned(len(message.raw))
        assert nl80211_transport._ask(ours, b"?", time.monotonic() + 5) == whole


def test_a_kernel_without_the_family_is_an_error_with_a_next_step() -> None:
    with pytest.raises(RadioError, match=r"has no simpul-none: .*plugged in"):
        KernelTransport("simpul-none").dump(GET_STATION, 2)


def test_a_command_that_the_family_does_not_know_is_refused_in_the_reply() -> None:
    with pytest.raises(netlink.RefusedError, match="not supported"):
        netlink.contents(KernelTransport("nlctrl").dump(250))


def test_a_kernel_that_stays_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.hotspot.nl80211_transport._REPLY_SECONDS", 0.05)
    # A request that a dump may not carry would be refused; one that is no request gets no answer.
    monkeypatch.setattr("node.hotspot.netlink.FLAG_REQUEST", 0)
    with pytest.raises(RadioError, match=r"did not answer within 0.05 s.*driver"):
        KernelTransport("nlctrl").dump(_GET_FAMILY)


def test_what_was_not_recorded_cannot_be_replayed() -> None:
    assert ReplayTransport({GET_STATION: b"x"}).dump(GET_STATION, 2) == b"x"
    with pytest.raises(RadioError, match="no reply"):
        ReplayTransport({}).dump(GET_STATION, 2)
