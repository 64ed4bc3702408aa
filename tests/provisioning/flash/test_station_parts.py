"""What stands on a station's desk: its settings, lamp and label printer."""

import re
import zlib
from pathlib import Path

import pytest

from provisioning.flash.device import Device
from provisioning.flash.errors import StationError
from provisioning.flash.label import Label, write_labels
from provisioning.flash.settings import StationSettings, read_settings
from provisioning.flash.signals import beep, shine
from provisioning.inventory import Node

CARD = Device(name="sdb", number="8:16", bus="usb", port="1-2.3:1")


def test_a_pinned_port_is_a_slot(tmp_path: Path) -> None:
    file = tmp_path / "station.toml"
    file.write_text('lamp = "led0"\nsize_max_gib = 64\n[slots]\n3 = "1-2.3:1"\n')
    settings = read_settings(file)
    assert settings.slot_of(CARD) == "3"
    assert settings.is_pinned(CARD)
    assert StationSettings().slot_of(CARD) == "1-2.3:1"
    assert not StationSettings().is_pinned(CARD)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("slots = 3", "slots"),
        ("[slots", "station.toml"),
        ("[slot]\n1 = 'x'", "unknown field"),
        ("[slots]\n1 = 'a'\n2 = 'a'", "stands twice"),
        *(
            (f"size_max_gib = {size}", r"station\.toml: size_max_gib = .*such as 256")
            for size in ("inf", "nan", "-inf", "0", "-3")
        ),
        ("\xff", "station.toml"),
    ],
)
def test_wrong_settings_are_explained(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "station.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(StationError, match=words):
        read_settings(file)


def test_a_station_without_pins_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(StationError, match="pin the slots"):
        read_settings(tmp_path / "station.toml", required=True)


def test_the_lamp_shines_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "led0").mkdir()
    brightness = tmp_path / "led0/brightness"
    shine("led0", on=True, leds=tmp_path)
    assert brightness.read_text() == "1"
    shine("led0", on=False, leds=tmp_path)
    assert brightness.read_text() == "0"
    shine("none", on=True, leds=tmp_path)
    assert not (tmp_path / "none").exists()


def test_a_good_card_beeps_once(capsys: pytest.CaptureFixture[str]) -> None:
    beep("verified")
    assert capsys.readouterr().err == "\a"
    beep("fake")
    assert capsys.readouterr().err == "\a\a\a"


def test_a_label_says_node_site_card_and_date(tmp_path: Path) -> None:
    node = Node(name="pasar-horas", title="Pasar Horas \u2013 gerbang", site="pasar")
    label = Label.of(node, ("SHA256:abcdefghijklmnop",), "2026-03-01")
    assert label.code == "simpul:pasar-horas?site=pasar&card=SHA256:abcdefghijkl&date=2026-03-01"
    file = tmp_path / "labels" / "today.pdf"
    write_labels(file, [label, label])
    content = file.read_bytes()
    assert len(re.findall(rb"/Type /Page\b", content)) == 2
    streams = re.findall(rb"stream\n(.*?)\nendstream", content, flags=re.DOTALL)
    text = b"".join(zlib.decompress(each) for each in streams if each.startswith(b"\x78"))
    for word in (b"pasar-horas", b"(pasar)", b"SHA256:abcdefghijkl", b"2026-03-01"):
        assert word in text


def test_labels_that_cannot_be_written_are_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StationError, match="cannot be written"):
        write_labels(tmp_path / "file" / "labels.pdf", [])
