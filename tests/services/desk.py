"""A station with an image, its broker and its register: flashes cards, and boots them in QEMU."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.booted_nodes import Booted, booted, write_inventory, write_playbook
from services.flashed import Station
from services.loop_cards import loop_card
from services.mosquitto import Mosquitto
from services.office import Office

from provisioning.authority.authority import Authority
from provisioning.image.boot.qemu import BROKER_ADDRESS

CARD_BYTES = 4 * 2**30  # a power of two, as cards are


@dataclass(frozen=True, slots=True)
class Desk:
    """A station with our image, its broker, and the cards that it has flashed."""

    office: Office
    broker: Mosquitto
    station: Station
    image: Path

    @property
    def authority(self) -> Authority:
        """The fleet's authority."""
        return self.station.authority

    def card(self, name: str) -> Path:
        """Return where the node's card lies."""
        return self.office.folder / f"{name}.card"

    def flash(self, names: tuple[str, ...]) -> list[dict[str, object]]:
        """Flash a card for each, all at once, by the command; return what it says of them."""
        with ExitStack() as stack:
            cards = [stack.enter_context(loop_card(self.card(name), CARD_BYTES)) for name in names]
            words = [f"--device={card.path}" for card in cards]
            words += [f"--confirm={card.token}" for card in cards]
            done = self.office.simpul(
                *("flash", *names, "--image", self.image, "--allow-loop", "--json", *words),
                timeout_s=1200,
            )
        assert done.returncode == 0, done.stderr
        told: list[dict[str, object]] = json.loads(done.stdout)
        return told

    def boot(self, name: str, card: Path | None = None) -> AbstractContextManager[Booted]:
        """Switch on a board with the node's card, or a copy of it."""
        return booted(
            card or self.card(name),
            name,
            broker=self.broker,
            authority=self.authority,
            key=self.station.key,
        )


@contextmanager
def open_desk(
    folder: Path, authority: Authority, passphrase: bytes, *, names: tuple[str, ...], image: Path
) -> Iterator[Desk]:
    """Give a desk for these nodes, whose broker runs; `authority` lies in `folder` already."""
    write_inventory(folder, names)
    office = Office(folder, passphrase, names=("127.0.0.1", BROKER_ADDRESS))
    station = Station(authority, passphrase, folder)
    with office.broker() as broker:
        write_playbook(folder, broker)
        yield Desk(office, broker, station, image)
