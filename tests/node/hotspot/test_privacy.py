"""No address of a station leaves the room: everything said, logged and raised is searched."""

import logging
import pickle
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Struct
from services.privacy import find_addresses

from node.clock import FakeClock
from node.errors import RadioError
from node.hotspot import nl80211_parse
from node.hotspot.nl80211_radio import Nl80211Radio
from node.hotspot.nl80211_transport import ReplayTransport
from node.hotspot.radio import Radio, Reading
from node.hotspot.simulated_radio import SimulatedRadio
from node.hotspot.source import HotspotSource
from node.settings import Hotspot

FIXTURES = Path(__file__).parent / "fixtures"
RECORDED = {5: "interface", 17: "station_four", 50: "survey"}
ADDRESS = bytes.fromhex("02a1b2c3d4e5")


def replies() -> dict[int, bytes]:
    return {command: (FIXTURES / f"{name}.bin").read_bytes() for command, name in RECORDED.items()}


class Ear:
    """A sink that keeps everything as it would go out, and stops the source when it has enough."""

    def __init__(self, stop: threading.Event, *, wanted: int) -> None:
        self.said = b""
        self.count = 0
        self._stop = stop
        self._wanted = wanted

    def measure(self, kind: str, data: Struct) -> None:
        self.said += kind.encode() + msgspec.json.encode(data) + repr(data).encode()
        self.count += 1
        if self.count >= self._wanted:
            self._stop.set()

    def event(self, name: str, data: Struct) -> None:
        self.said += name.encode() + msgspec.json.encode(data)

    def frame(self, jpeg: bytes, *, width: int, height: int, mono: float, simulated: bool) -> None:
        raise AssertionError(len(jpeg), width, height, mono, simulated)


class Hurry(threading.Event):
    """A stop event for which no time passes while it is awaited."""

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        return self.is_set()


class SkippingClock(FakeClock):
    """Every look at it is seven minutes later, so that many devices come and go."""

    def mono(self) -> float:
        self.advance(420)
        return super().mono()


@pytest.mark.parametrize("kind", ["recorded", "simulated"])
def test_nothing_said_or_logged_holds_an_address(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    clock = SkippingClock()
    radio: Radio = SimulatedRadio("wlan0", seed="pasar-horas", clock=clock)
    if kind == "recorded":
        radio = Nl80211Radio("wlan0", transport=ReplayTransport(replies()))
    stop = Hurry()
    ear = Ear(stop, wanted=30)
    addresses: set[bytes] = set()

    class Watched:
        simulated = radio.simulated

        def read(self) -> Reading:
            reading = radio.read()
            addresses.update(station.address for station in reading.stations)
            return reading

    settings = Hotspot(adapter="simulated", measure_interval_seconds=0.2)
    HotspotSource(settings, Watched(), clock=clock).run(ear, stop)

    assert ear.count == 30
    assert len(addresses) >= 4, "there was somebody to protect"
    logged = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert find_addresses(ear.said + logged.encode(), addresses) == []


def test_a_reading_shows_no_address_when_printed() -> None:
    reading = Nl80211Radio("wlan0", transport=ReplayTransport(replies())).read()
    assert find_addresses(repr(reading).encode(), [s.address for s in reading.stations]) == []


def test_the_source_cannot_be_written_down_with_its_key() -> None:
    radio = Nl80211Radio("wlan0", transport=ReplayTransport(replies()))
    source = HotspotSource(Hotspot(), radio, clock=FakeClock())
    with pytest.raises(TypeError, match="must not be written"):
        pickle.dumps(source)


@given(at=st.integers(0, 4771), bits=st.integers(1, 255))
@example(at=20, bits=255)
@example(at=28, bits=3)  # the length of the attribute that holds the address
def test_errors_and_logs_about_garbled_bytes_hold_no_address(at: int, bits: int) -> None:
    raw = bytearray(replies()[17])
    addresses = [s.address for s in nl80211_parse.parse_stations(bytes(raw))]
    raw[at] ^= bits
    told: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        nl80211_parse.parse_stations(bytes(raw))
    except RadioError as error:
        cause: BaseException | None = error
        while cause is not None:
            told.append(f"{cause} {cause!r}")
            cause = cause.__cause__ or cause.__context__
    finally:
        logging.getLogger().removeHandler(handler)
    assert find_addresses("\n".join(told).encode(), addresses) == []


@pytest.mark.parametrize(
    "written",
    [
        ADDRESS.hex(":"),
        ADDRESS.hex("-").upper(),
        ADDRESS.hex(),
        ADDRESS.hex().upper(),
        ADDRESS.hex(" "),
        "02a1.b2c3.d4e5",
        repr(b"\x02\xa1\xb2\xc3\xd4\xe5"),
        str(list(ADDRESS)),
        msgspec.json.encode(list(ADDRESS)).decode(),
        str(int.from_bytes(ADDRESS, "big")),
    ],
)
def test_the_search_knows_every_notation(written: str) -> None:
    assert find_addresses(f"x {written} y".encode(), [ADDRESS])


def test_the_search_knows_raw_bytes_and_strangers() -> None:
    assert find_addresses(b"\0\0" + ADDRESS + b"\0", [ADDRESS])
    assert find_addresses(b"address=12:34:56:78:9A:bc.", [])
    assert find_addresses(b"by 12-34-56-78-9A-bc", [])
    assert find_addresses(b"by 1234.5678.9abc", [])


def test_the_search_passes_what_is_no_address() -> None:
    ok = b'{"pseudonym":"0f1e2d3c4b5a","at":"2026-01-02T03:04:05Z","ip":"10.77.0.11"} ::1 1:2:3:4'
    assert find_addresses(ok, [ADDRESS]) == []
    fingerprint = b"SHA256 " + b":".join(b"%02x" % i for i in range(32))
    assert find_addresses(fingerprint, [ADDRESS]) == []
