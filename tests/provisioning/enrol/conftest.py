"""A station, and a node that it flashed, for every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from services.flashed import Flashed, Station, flashed

from provisioning.authority.authority import Authority
from provisioning.inventory import Node


@pytest.fixture
def station(authority: Authority, passphrase: bytes, tmp_path: Path) -> Station:
    return Station(authority, passphrase, tmp_path)


@pytest.fixture
def node(station: Station) -> Iterator[Flashed]:
    with flashed(station, Node(name="pasar-horas", title="Pasar Horas")) as started:
        yield started
