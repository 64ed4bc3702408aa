"""A board on the table is told an address of this machine that it reaches."""

from pathlib import Path

from services.mosquitto import Mosquitto

from hil_tests.bench.run import own_address
from hil_tests.bench.traffic import Traffic


def test_it_is_that_of_the_way_there_and_the_broker_listens_on_it(tmp_path: Path) -> None:
    # All of 127.0.0.0/8 is this machine, which goes there from its first address.
    address = own_address("127.0.0.9")
    assert address == "127.0.0.1"
    with Mosquitto(tmp_path, address="127.0.0.9") as broker, Traffic("127.0.0.9", broker.port):
        assert broker.url == f"mqtt://127.0.0.9:{broker.port}"
