"""Writes what the programs of the demonstration read: settings, masks, broker configuration."""

import getpass
import tomllib
from pathlib import Path

import msgspec
from msgspec import Struct

from node.settings import Camera, Health, Hotspot, Identity, NodeSettings, Outbox, Uplink

_MASK = """\
# As a household asked for it: nobody looks into its windows.
[[region]]
name = "windows of a house"
polygon = {polygon}
"""
_HOUSE_IN_THE_DRAWN_STREET = "[[0.4, 0.24], [0.5, 0.24], [0.5, 0.44], [0.4, 0.44]]"
_CORNER_OF_A_CLIP = "[[0.02, 0.03], [0.16, 0.03], [0.16, 0.22], [0.02, 0.22]]"


class Place(Struct, frozen=True):
    """A camera point of the demonstration."""

    name: str
    title: str
    site: str


PLACES = (
    Place("adam-malik", "Jalan Adam Malik", "lapangan-merdeka"),
    Place("pasar-horas", "Pasar Horas", "pasar-horas"),
    Place("taman-bunga", "Taman Bunga", "taman-bunga"),
)


def write_node(directory: Path, place: Place, *, broker: str, video: Path | None) -> Path:
    """Write settings and mask of one node below `directory`; return the settings file."""
    home = directory / place.name
    home.mkdir()
    mask = home / "mask.toml"
    polygon = _CORNER_OF_A_CLIP if video else _HOUSE_IN_THE_DRAWN_STREET
    mask.write_text(_MASK.format(polygon=polygon), encoding="utf-8")
    settings = NodeSettings(
        node=Identity(
            name=place.name,
            title=place.title,
            site=place.site,
            state_directory=str(home / "state"),
        ),
        uplink=Uplink(brokers=(broker,), backoff_min_seconds=0.2, backoff_max_seconds=5.0),
        outbox=Outbox(commit_interval_seconds=0.5),
        camera=Camera(
            adapter="video" if video else "rendered",
            source=str(video) if video else "",
            width=1280 if video is None else 768,
            height=720 if video is None else 576,
            mask_file=str(mask),
            still_interval_seconds=2.0,
            measure_interval_seconds=5.0,
        ),
        hotspot=Hotspot(adapter="simulated", measure_interval_seconds=5.0),
        health=Health(measure_interval_seconds=5.0),
    )
    return write_toml(home / "node.toml", settings)


def write_hub(directory: Path, *, broker: str, port: int) -> Path:
    """Write the settings of collector and page below `directory`; return the file."""
    home = directory / "hub"
    home.mkdir()
    tables: dict[str, dict[str, object]] = {
        "broker": {"urls": [broker], "backoff_min_seconds": 0.2, "backoff_max_seconds": 5.0},
        "database": {"url": f"sqlite:///{home / 'hub.db'}"},
        "public": {"directory": str(home / "public")},
        "serve": {"port": port},
    }
    return _write(home / "hub.toml", tables)


def write_mosquitto(directory: Path, *, port: int) -> Path:
    """Write the configuration of a Mosquitto on loopback; return the file."""
    file = directory / "mosquitto.conf"
    lines = (
        f"listener {port} 127.0.0.1",
        # Started by root it would become another user, and outlive a killed demonstration.
        f"user {getpass.getuser()}",
        "allow_anonymous true",
        "message_size_limit 1048576",
        "max_inflight_messages 200",
    )
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def write_toml(file: Path, settings: Struct) -> Path:
    """Write a settings model as TOML; return `file`."""
    tables: dict[str, dict[str, object]] = msgspec.to_builtins(settings)
    return _write(file, tables)


def _write(file: Path, tables: dict[str, dict[str, object]]) -> Path:
    """Write tables of plain values; a JSON string, number, boolean or array is TOML as well.

    What is None is left out: TOML has no word for it.
    """
    lines = []
    for table, values in tables.items():
        lines.append(f"[{table}]")
        said = {key: value for key, value in values.items() if value is not None}
        lines += [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in said.items()]
    text = "\n".join(lines) + "\n"
    tomllib.loads(text)
    file.write_text(text, encoding="utf-8")
    return file
