"""What the playbooks' tests share: a city on one stock Debian, and a hub alone on another."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from services.debian_server import server_root
from services.hub_machine import TAGS, HubMachine
from services.namespaced import NamespacedSystem
from services.provisioned import Played, Station


@dataclass(frozen=True, slots=True)
class City:
    """The station, its one machine, and how setting that up went."""

    station: Station
    system: NamespacedSystem
    first: dict[str, Played]

    def play(self, playbook: str, *words: str) -> Played:
        """Run a playbook on the machine; when it fails, what our units said stands at the end."""
        played = self.station.play(playbook, *words, within=self.system.network)
        if played.status == 0:
            return played
        log = self.system.run("journalctl", "--no-pager", "-n30", "-usimpul-*", check=False)
        return replace(played, said=played.said + log.stdout)


@pytest.fixture(scope="session")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    folder = tmp_path_factory.mktemp("city")
    station = Station(folder / "station")
    station.release(1)
    with NamespacedSystem(server_root(), folder / "system", prepare=station.prepare) as system:
        city = City(station, system, {})
        for playbook in ("hub.yml", "site.yml"):
            city.first[playbook] = played = city.play(playbook)
            assert played.status == 0, played.said[-6000:]
        yield city


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubMachine]:
    with HubMachine(tmp_path_factory.mktemp("hub")) as hub:
        played = hub.play("hub.yml", *TAGS)
        assert played.status == 0, played.said[-6000:]
        yield hub
