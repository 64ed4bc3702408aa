"""Pseudonyms hold for a day, tell nothing about the address, and their key shows nowhere."""

import copy
import hmac
import pickle
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.clock import FakeClock
from node.hotspot.pseudonym import Pseudonyms
from node.messages import Station

ADDRESS = bytes.fromhex("02a1b2c3d4e5")
DAY_SECONDS = 86_400


def test_a_device_keeps_its_pseudonym_for_a_day_and_then_loses_it() -> None:
    clock = FakeClock()
    pseudonyms = Pseudonyms(clock)
    first = pseudonyms.of(ADDRESS)
    clock.advance(DAY_SECONDS - 1)
    assert pseudonyms.of(ADDRESS) == first
    clock.advance(1)
    second = pseudonyms.of(ADDRESS)
    assert second != first
    clock.advance(DAY_SECONDS - 1)
    assert pseudonyms.of(ADDRESS) == second
    clock.advance(40 * DAY_SECONDS)
    assert pseudonyms.of(ADDRESS) not in {first, second}


def test_a_wall_clock_that_steps_back_makes_no_key_live_longer() -> None:
    clock = FakeClock()
    pseudonyms = Pseudonyms(clock)
    first = pseudonyms.of(ADDRESS)
    clock.advance(DAY_SECONDS)
    clock.set_wall(FakeClock().wall())
    assert pseudonyms.of(ADDRESS) != first


def test_two_runs_and_two_nodes_agree_on_nothing() -> None:
    assert len({Pseudonyms(FakeClock()).of(ADDRESS) for _ in range(50)}) == 50


@given(st.lists(st.binary(min_size=6, max_size=6), unique=True, max_size=50))
def test_every_address_gets_its_own_pseudonym_in_the_stated_form(addresses: list[bytes]) -> None:
    pseudonyms = Pseudonyms(FakeClock())
    given_out = [pseudonyms.of(address) for address in addresses]
    assert len(set(given_out)) == len(addresses)
    for pseudonym in given_out:
        msgspec.convert({"pseudonym": pseudonym}, Station)  # holds its pattern


def test_it_is_the_keyed_hash_that_it_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    key = bytes(range(32))
    asked: list[int] = []
    monkeypatch.setattr("secrets.token_bytes", lambda count: asked.append(count) or key)
    expected = hmac.digest(key, ADDRESS, "sha256").hex()[:12]
    assert Pseudonyms(FakeClock()).of(ADDRESS) == expected
    assert asked == [32]


@pytest.mark.parametrize("write", [pickle.dumps, copy.copy, copy.deepcopy])
def test_the_key_cannot_be_copied_out(write: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="must not be written"):
        write(Pseudonyms(FakeClock()))


def test_the_key_stands_in_no_attribute_and_no_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    key = b"sesame-sesame-sesame-sesame-1234"
    monkeypatch.setattr("secrets.token_bytes", lambda _count: key)
    pseudonyms = Pseudonyms(FakeClock())
    pseudonyms.of(ADDRESS)
    values = [getattr(pseudonyms, name) for name in Pseudonyms.__slots__]
    inner = [getattr(value, name, None) for value in values for name in dir(value)]
    shown = " ".join(map(repr, [pseudonyms, str(pseudonyms), *values, *inner]))
    assert "sesame" not in shown
    assert key.hex() not in shown
