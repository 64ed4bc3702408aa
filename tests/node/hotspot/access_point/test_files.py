"""The access point's files: every setting arrives, and the programs themselves understand them."""

import os
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from node.errors import AccessPointError, SettingsError
from node.hotspot.access_point import apply as applying
from node.hotspot.access_point import files, tools
from node.hotspot.access_point.apply import TARGET, apply
from node.hotspot.access_point.dnsmasq import render_dnsmasq
from node.hotspot.access_point.files import FILES, render
from node.hotspot.access_point.hostapd import render_hostapd
from node.hotspot.access_point.nftables import render_nftables
from node.hotspot.access_point.plan import access_point_contradictions
from node.settings import Hotspot

HOTSPOT = Hotspot(ssid="Wi-Fi Gratis")
WITH_PROGRAMS = pytest.mark.skipif(
    os.geteuid() != 0
    or not all(
        shutil.which(name, path="/usr/sbin:/usr/bin") for name in ("hostapd", "dnsmasq", "nft")
    ),
    reason="needs root (nft asks the kernel), hostapd, dnsmasq and nftables",
)


def changed(**values: object) -> Hotspot:
    return msgspec.convert({"ssid": "Wi-Fi Gratis", **values}, Hotspot)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"ssid": "Taman Bunga \u2013 Pematang Siantar 2"}, "hotspot.ssid: 34 bytes in UTF-8"),
        ({"channel": 36}, "36 is no channel of 2.4GHz; choose 1, 2"),
        ({"band": "5GHz", "channel": 52}, "52 is no channel of 5GHz; choose 36, 40"),
        ({"uplink_interface": "wlan0"}, "wlan0 is the access point itself"),
        ({"address": "10.80.0.300/22"}, "is no IPv4 address"),
        ({"address": "10.80.0.1/8"}, "choose a size from /16 to /29"),
        ({"address": "8.8.8.1/24"}, "belongs to others"),
        ({"address": "10.80.0.9/22"}, "is not the first of its network; write 10.80.0.1"),
        ({"address": "10.80.0.1/29"}, "has room for 5 guests, fewer than stations_max"),
        ({"city_networks": ["192.168.1.1/16"]}, "hotspot.city_networks: 192.168.1.1/16 has host"),
        ({"dns_servers": ["1.2.3"]}, "hotspot.dns_servers: 1.2.3 is no address"),
    ],
)
def test_a_contradiction_is_told(values: dict[str, object], words: str) -> None:
    (problem,) = access_point_contradictions(changed(**values))
    assert words in problem


def test_nothing_is_asked_of_a_node_that_runs_no_access_point() -> None:
    assert access_point_contradictions(Hotspot(channel=99)) == []


def test_settings_arrive_in_hostapd() -> None:
    text = render_hostapd(
        changed(band="5GHz", channel=36, stations_max=7, country="MY", isolate_guests=False)
    )
    lines = set(text.splitlines())
    assert {
        *("hw_mode=a", "channel=36", "max_num_sta=7", "country_code=MY", "ap_isolate=0"),
        *("ieee80211ac=1", f"ssid2={b'Wi-Fi Gratis'.hex()}"),
    } <= lines


def test_settings_arrive_in_dnsmasq() -> None:
    lines = render_dnsmasq(changed(address="10.9.0.1/24", lease_minutes=5, dns_servers=["1.1.1.1"]))
    assert "dhcp-range=10.9.0.2,10.9.0.254,255.255.255.0,5m\n" in lines
    assert "dhcp-option=option:router,10.9.0.1\n" in lines
    assert "no-resolv\nserver=1.1.1.1\n" in lines


def test_settings_arrive_in_nftables() -> None:
    text = render_nftables(changed(address="10.9.0.1/24", uplink_interface="end0"))
    assert 'ip saddr 10.9.0.0/24 oifname "end0" masquerade' in text
    assert 'oifname "wlan0" drop' in text
    assert 'oifname "wlan0" accept' in render_nftables(changed(isolate_guests=False))


@WITH_PROGRAMS
class TestWithPrograms:
    """hostapd, dnsmasq and nft look at every file."""

    @pytest.mark.parametrize("values", [{}, {"city_networks": []}, {"band": "5GHz", "channel": 36}])
    def test_they_are_understood(self, tmp_path: Path, values: dict[str, object]) -> None:
        directory = tmp_path / "hotspot"
        names = [each.name for each in FILES]
        assert render(changed(**values), directory) == names
        assert sorted(each.name for each in directory.iterdir()) == sorted(names)
        assert render(changed(**values), directory) == []

    def test_only_what_changed_is_told(self, tmp_path: Path) -> None:
        render(HOTSPOT, tmp_path)
        assert render(changed(lease_minutes=9), tmp_path) == ["dnsmasq.conf"]
        assert render(changed(lease_minutes=9, channel=11), tmp_path) == ["hostapd.conf"]
        assert render(Hotspot(), tmp_path) == [each.name for each in FILES]
        assert list(tmp_path.iterdir()) == []

    @given(ssid=st.text(min_size=1, max_size=32).filter(lambda s: len(s.encode()) <= 32))
    @hypothesis_settings(max_examples=15)
    def test_any_name_is_understood(
        self, tmp_path_factory: pytest.TempPathFactory, ssid: str
    ) -> None:
        directory = tmp_path_factory.mktemp("hotspot")
        render(changed(ssid=ssid), directory)
        text = (directory / "hostapd.conf").read_text()
        assert f"ssid2={ssid.encode().hex()}\n" in text

    @pytest.mark.parametrize(
        ("name", "line", "words"),
        [
            ("hostapd.conf", "colour=red", "hostapd refuses .*unknown configuration item 'colour'"),
            ("dnsmasq.conf", "colour=red", "dnsmasq refuses .*bad option at line"),
            ("nftables.conf", "table inet", "nft refuses .*syntax error"),
        ],
    )
    def test_a_file_that_is_refused_replaces_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, line: str, words: str
    ) -> None:
        render(HOTSPOT, tmp_path)
        before = {each.name: each.read_text() for each in tmp_path.iterdir()}
        bad = tuple(_spoilt(each, line) if each.name == name else each for each in FILES)
        monkeypatch.setattr(files, "FILES", bad)
        with pytest.raises(AccessPointError, match=words):
            render(changed(lease_minutes=9, channel=11), tmp_path)
        assert {each.name: each.read_text() for each in tmp_path.iterdir()} == before

    def test_apply_restarts_what_reads_a_changed_file(self, tmp_path: Path) -> None:
        asked: list[list[str]] = []

        def systemctl(words: object) -> None:
            asked.append(list(words))  # type: ignore[call-overload]

        apply(HOTSPOT, directory=tmp_path, systemctl=systemctl)
        asked.clear()
        done = apply(changed(channel=1), directory=tmp_path, systemctl=systemctl)
        assert done == [f"{tmp_path}/hostapd.conf: new", "restarted simpul-hotspot-hostapd.service"]
        assert asked == [
            ["try-reload-or-restart", "simpul-hotspot-hostapd.service"],
            ["start", TARGET],
        ]
        asked.clear()
        apply(Hotspot(), directory=tmp_path, systemctl=systemctl)
        assert asked == [["stop", TARGET]]
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("at", ["try-reload-or-restart", "start"])
    def test_what_systemctl_failed_at_is_done_by_the_next_call(
        self, tmp_path: Path, at: str
    ) -> None:
        asked: list[list[str]] = []
        fails = True

        def systemctl(words: Sequence[str]) -> None:
            asked.append(list(words))
            if fails and words[0] == at:
                raise AccessPointError("systemctl: connection timed out")

        fails = False
        apply(HOTSPOT, directory=tmp_path, systemctl=systemctl)
        fails = True
        with pytest.raises(AccessPointError, match="timed out"):
            apply(changed(uplink_interface="end0"), directory=tmp_path, systemctl=systemctl)
        # Settings that are refused meanwhile forget nothing, and add nothing.
        with pytest.raises(SettingsError):
            apply(changed(channel=99), directory=tmp_path, systemctl=systemctl)
        fails = False
        asked.clear()
        more = changed(uplink_interface="end0", lease_minutes=9)
        done = apply(more, directory=tmp_path, systemctl=systemctl)
        units = [f"simpul-hotspot-{part}.service" for part in ("dnsmasq", "firewall")]
        assert asked == [["try-reload-or-restart", *units], ["start", TARGET]]
        assert f"{tmp_path}/nftables.conf: new" in done
        assert apply(more, directory=tmp_path, systemctl=systemctl) == []

    def test_what_a_killed_call_replaced_is_told_by_the_next(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[list[str]] = []

        def systemctl(words: Sequence[str]) -> None:
            asked.append(list(words))

        def killed(
            hotspot: Hotspot, directory: Path, *, replacing: Callable[[Collection[str]], None]
        ) -> list[str]:
            render(hotspot, directory, replacing=replacing)
            raise KeyboardInterrupt

        apply(HOTSPOT, directory=tmp_path, systemctl=systemctl)
        with monkeypatch.context() as until_killed:
            until_killed.setattr(applying, "render", killed)
            with pytest.raises(KeyboardInterrupt):
                apply(changed(channel=1), directory=tmp_path, systemctl=systemctl)
        asked.clear()
        apply(changed(channel=1), directory=tmp_path, systemctl=systemctl)
        assert asked[0] == ["try-reload-or-restart", "simpul-hotspot-hostapd.service"]


def _spoilt(each: files.Rendered, line: str) -> files.Rendered:
    return files.Rendered(
        each.name,
        lambda hotspot: f"{each.render(hotspot)}{line}\n",
        each.check,
        each.check_interface,
    )


def test_contradicting_settings_write_nothing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no channel"):
        render(changed(channel=99), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "_PATH", str(tmp_path))
    with pytest.raises(AccessPointError, match="nft is not installed; apt install"):
        render(HOTSPOT, tmp_path)
