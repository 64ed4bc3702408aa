"""Inside the guest, under systemd: the hotspot's units on the kernel's simulated radios.

Two phones join for real. Named on pytest's command line by
tests/node/hotspot/access_point/test_in_guest.py, which loaded the drivers.
"""

import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest
from services.city import CITY_SERVER, DNS, INTERNET, NAME, NODE, UPLINK, City
from services.phone import Phone, run
from services.waiting import until

from node.hotspot.access_point import apply as applying
from node.hotspot.nl80211_radio import Nl80211Radio
from node.settings import Hotspot

SSID = "Wi-Fi Gratis \u2013 Siantar"
OWN = "10.80.0.1"
HOTSPOT = Hotspot(
    adapter="nl80211", ssid=SSID, dns_servers=(DNS,), uplink_interface=UPLINK, stations_max=20
)
UNITS = ("firewall", "hostapd", "dnsmasq")
FILES = applying.DIRECTORY
SSH_PORT = 22


def unit(part: str) -> str:
    return f"simpul-hotspot-{part}.service"


def restart(part: str) -> None:
    run("systemctl", "restart", unit(part))


def pid(part: str) -> str:
    return run("systemctl", "show", "--value", "--property=MainPID", unit(part)).strip()


def journal(*words: str) -> str:
    return run("journalctl", "--no-pager", "-b", "-o", "cat", *words)


class _Greeting(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"SSH-2.0-here\r\n")


@pytest.fixture(scope="module", autouse=True)
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    city = City(tmp_path_factory.mktemp("city"))
    # What stands at the port of SSH does not matter to a firewall; that it answers does.
    server = socketserver.ThreadingTCPServer(("", SSH_PORT), _Greeting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    toml = [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in _given(HOTSPOT)]
    Path("/etc/simpul/node.toml").write_text(
        '[node]\nname = "taman-bunga"\n[uplink]\nbrokers = ["mqtt://127.0.0.1:1"]\n[hotspot]\n'
        + "\n".join(toml)
    )
    run("systemctl", "start", applying.TARGET)
    yield city
    run("systemctl", "stop", applying.TARGET, *map(unit, UNITS))
    server.shutdown()
    server.server_close()
    city.close()


def _given(hotspot: Hotspot) -> Iterator[tuple[str, object]]:
    return iter(msgspec.to_builtins(hotspot).items())


@pytest.fixture(scope="module")
def phones(city: City) -> Iterator[tuple[Phone, Phone]]:
    assert city
    one = Phone("phone1", phy="phy1")
    two = Phone("phone2", phy="phy2")
    for phone in (one, two):
        phone.join(SSID)
        phone.serve(f"this is {phone.name}")
    yield one, two
    for phone in (one, two):
        phone.leave()


def back(phones: tuple[Phone, Phone]) -> None:
    """Wait until both phones have a link again, as after a restart of hostapd."""
    for phone in phones:
        until(phone.associated, f"{phone.name} to come back", seconds=120)
        until(partial(online, phone), "traffic", seconds=120)


def online(phone: Phone) -> bool:
    return phone.fetch(f"http://{INTERNET}/") is not None


def reach(phones: tuple[Phone, Phone]) -> str | None:
    """Try to fetch the other phone's page, directly."""
    one, two = phones
    return one.fetch(f"http://{two.address}/")


def reach_through_node(phones: tuple[Phone, Phone]) -> str | None:
    """Try the same by way of the node, which would route it."""
    one, two = phones
    for phone, other in ((one, two), (two, one)):
        phone.run("ip", "route", "replace", other.address, "via", OWN)
    try:
        return one.fetch(f"http://{two.address}/")
    finally:
        for phone, other in ((one, two), (two, one)):
            phone.run("ip", "route", "del", other.address)


def test_the_radio_beacons_as_it_was_told() -> None:
    try:
        until(lambda: Nl80211Radio("wlan0").read().up, "the access point", seconds=120)
    except TimeoutError:
        pytest.fail(journal("-u", "simpul-hotspot-*"))
    told = run("iw", "dev", "wlan0", "info")
    assert "type AP" in told
    assert "channel 6 (2437 MHz)" in told


@pytest.mark.parametrize("part", UNITS)
def test_the_unit_is_active(part: str) -> None:
    state = run("systemctl", "show", "--value", "--property=ActiveState", unit(part)).strip()
    assert state == "active", journal("-u", unit(part))


def test_phones_get_addresses(phones: tuple[Phone, Phone]) -> None:
    addresses = {phone.address for phone in phones}
    assert len(addresses) == 2
    assert all(address.startswith("10.80.") for address in addresses)


@pytest.mark.parametrize("host", [INTERNET, NAME])
def test_a_phone_reaches_the_internet(phones: tuple[Phone, Phone], host: str) -> None:
    assert phones[0].fetch(f"http://{host}/") == f"this is {INTERNET}"


def test_a_phone_does_not_reach_the_citys_network(phones: tuple[Phone, Phone], city: City) -> None:
    run("curl", "-sS", f"http://{CITY_SERVER}/")  # it is there
    assert phones[0].fetch(f"http://{CITY_SERVER}/") is None
    assert city.connects(NODE, SSH_PORT)


@pytest.mark.parametrize("address", [OWN, NODE])
def test_a_phone_does_not_reach_the_nodes_ssh(
    phones: tuple[Phone, Phone], city: City, address: str
) -> None:
    assert city.connects(NODE, SSH_PORT), "the node's port must be open where it may be"
    assert not phones[0].connects(address, SSH_PORT)


def test_a_phone_that_lies_about_its_address_is_not_routed(phones: tuple[Phone, Phone]) -> None:
    phone = phones[0]
    phone.run("ip", "address", "add", "192.0.2.99/32", "dev", phone.interface)
    curl = ("curl", "-sS", "--max-time", "5", "--interface", "192.0.2.99", f"http://{INTERNET}/")
    try:
        with pytest.raises(subprocess.CalledProcessError):
            phone.run(*curl)
    finally:
        phone.run("ip", "address", "del", "192.0.2.99/32", "dev", phone.interface)


Way = Callable[[tuple[Phone, Phone]], str | None]


@pytest.mark.parametrize("way", [reach, reach_through_node])
def test_phones_do_not_reach_each_other(phones: tuple[Phone, Phone], way: Way) -> None:
    assert way(phones) is None


@contextmanager
def edited(name: str, old: str, new: str, phones: tuple[Phone, Phone]) -> Iterator[None]:
    """Have one program run with one line changed."""
    file = FILES / name
    before = file.read_text()
    assert old in before
    part = "hostapd" if name == "hostapd.conf" else "firewall"
    try:
        file.write_text(before.replace(old, new))
        restart(part)
        back(phones)
        yield
    finally:
        file.write_text(before)
        restart(part)
        back(phones)


def test_without_isolation_in_the_radio_they_would_meet(phones: tuple[Phone, Phone]) -> None:
    with edited("hostapd.conf", "ap_isolate=1", "ap_isolate=0", phones):
        assert reach(phones) == "this is phone2\n"
        assert reach_through_node(phones) is None
    assert reach(phones) is None


def test_without_isolation_in_the_firewall_they_would_meet(phones: tuple[Phone, Phone]) -> None:
    with edited("nftables.conf", 'oifname "wlan0" drop', 'oifname "wlan0" accept', phones):
        assert reach_through_node(phones) == "this is phone2\n"
        assert reach(phones) is None


def test_without_the_firewalls_input_they_would_reach_ssh(phones: tuple[Phone, Phone]) -> None:
    with edited("nftables.conf", "goto from_guests", "accept", phones):
        assert phones[0].connects(OWN, SSH_PORT)


def test_the_agents_radio_sees_both(phones: tuple[Phone, Phone]) -> None:
    reading = Nl80211Radio("wlan0").read()
    macs = {station.address.hex(":") for station in reading.stations}
    assert macs == {phone.mac for phone in phones}
    assert all(-70 < (station.signal_dbm or 0) < 0 for station in reading.stations)


def test_no_address_of_a_phone_is_written_down(phones: tuple[Phone, Phone]) -> None:
    lines = [line.lower() for part in UNITS for line in journal("-u", unit(part)).splitlines()]
    assert lines
    assert not [line for line in lines if any(phone.mac in line for phone in phones)]


def test_changed_settings_restart_only_what_reads_them(phones: tuple[Phone, Phone]) -> None:
    before = {part: pid(part) for part in ("hostapd", "dnsmasq")}
    changed = msgspec.structs.replace(HOTSPOT, lease_minutes=20)
    done = applying.apply(changed)
    assert done == [f"{FILES}/dnsmasq.conf: new", f"restarted {unit('dnsmasq')}"]
    assert pid("hostapd") == before["hostapd"]
    assert pid("dnsmasq") != before["dnsmasq"]
    assert applying.apply(changed) == []
    applying.apply(HOTSPOT)
    assert phones[0].fetch(f"http://{INTERNET}/") is not None


@pytest.mark.parametrize("part", ["config", *UNITS])
def test_it_is_hardened(part: str) -> None:
    run("systemd-analyze", "security", "--no-pager", "--threshold=21", unit(part))


def test_without_a_firewall_there_is_no_access_point() -> None:
    run("systemctl", "stop", unit("firewall"))
    try:
        until(lambda: not Nl80211Radio("wlan0").read().up, "the radio to fall silent", seconds=30)
    finally:
        run("systemctl", "start", applying.TARGET, *map(unit, UNITS))
    until(lambda: Nl80211Radio("wlan0").read().up, "the access point", seconds=120)
