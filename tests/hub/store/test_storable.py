"""What a node may send as data, and what the databases get to see."""

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from services.talker import Talker

from hub.store import Arrival, Database, newest, store
from hub.store.schema import measurement
from hub.store.storable import storable_json
from node.messages import Envelope

NASTY = [
    rb'{"a":"\u0000"}',
    rb'{"\u0000":1}',
    rb'"\\u0000"',
    b"1e400",
    b"0." + b"0" * 20_000 + b"1",
    b"[" * 400 + b"]" * 400,
    b'"\xff"',
    b"9" * 300,
]


@given(st.binary())
def test_garbage_becomes_json_all_the_same(data: bytes) -> None:
    msgspec.json.decode(storable_json(data))


@pytest.mark.parametrize("data", NASTY, ids=range(len(NASTY)))
def test_every_database_keeps_nasty_data(database: Database, data: bytes) -> None:
    envelope = a_wifi_with(data)
    assert store(database, [Arrival(envelope, envelope.at)]) == 1
    with database.transaction() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(measurement)) == 1


def test_plain_data_comes_back_as_it_was(database: Database) -> None:
    envelope = a_wifi_with(
        '{"interface": "wlan0", "jalan": "Jl. Sutomo é", "n": [1, 2.5, null]}'.encode()
    )
    store(database, [Arrival(envelope, envelope.at)])
    (back,) = newest(database, "wifi")
    assert msgspec.json.decode(back.envelope.data) == msgspec.json.decode(envelope.data)
    assert back.envelope.at == envelope.at
    assert back.received_at == envelope.at


def a_wifi_with(data: bytes) -> Envelope:
    return Talker("mqtt://127.0.0.1:1", "pasar-horas").envelope("wifi", msgspec.Raw(data), 1)
