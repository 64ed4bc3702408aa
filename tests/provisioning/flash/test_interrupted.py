"""The station dies while it writes: killed, or without power. Every card can be resumed."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from services.card_images import MIB, SEED_FAT, CardImage, make_image
from services.faulty_cards import faulty_card, needs_faulty_cards
from services.flash_batches import (
    assign,
    differing_ranges,
    first_block,
    is_bootable,
    make_station,
    run,
)
from services.waiting import until

from provisioning.flash.device import Device
from provisioning.flash.source import Source, open_source

pytestmark = needs_faulty_cards
CARD_BYTES = 192 * MIB
RATE = 24 * MIB
KEPT_MAX = 48 * MIB  # of 96: it has not ended by then
ONLY_HEADING = 2  # with what follows its line end
ROOT = Path(__file__).parents[3]
INVENTORY = "[site]\nnode-0\nnode-1\n[nodes:children]\nsite\n"
SEED = range(SEED_FAT[0], SEED_FAT[0] + SEED_FAT[1])


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> CardImage:
    directory = tmp_path_factory.mktemp("image")
    return make_image(directory, size_bytes=160 * MIB, data_bytes=96 * MIB)


@pytest.fixture(scope="module")
def source(image: CardImage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    with open_source(image.packed, cache=tmp_path_factory.mktemp("cache")) as opened:
        yield opened


def journals(directory: Path) -> list[Path]:
    return list((directory / "state/simpul/flash").iterdir())


def kept_bytes(memory: Path) -> int:
    return memory.stat().st_blocks * 512


def start_flash(directory: Path, image: CardImage, devices: list[Device]) -> subprocess.Popen[str]:
    """Start the command itself, as a technician does, in a folder of its own."""
    (directory / "inventory.ini").write_text(INVENTORY)
    words = [f"--confirm={each.token}" for each in devices]
    words += [f"--device={each.path}" for each in devices]
    words += ["--image", str(image.packed), "--allow-loop", "--screen=none", "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "provisioning", "flash", "node-0", "node-1", *words],
        cwd=directory,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "XDG_STATE_HOME": str(directory / "state"),
            "XDG_CACHE_HOME": str(directory / "cache"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    "chance",
    [
        *range(2),
        *(pytest.param(number, marks=pytest.mark.long) for number in range(2, 40)),
    ],
)
@pytest.mark.parametrize("how", ["killed", "power lost"])
def test_every_card_goes_on(
    chance: int, how: str, image: CardImage, source: Source, station_directory: Path
) -> None:
    """Without power, the cards lose what they had not been told to keep."""
    dice = random.Random(chance)  # noqa: S311 - the same moments every time
    memories = [station_directory / "card-0", station_directory / "card-1"]
    with ExitStack() as stack:
        hub = [
            stack.enter_context(faulty_card(each, CARD_BYTES, cache=1, bytes_per_second=RATE))
            for each in memories
        ]
        flashing = start_flash(station_directory, image, [card.device for card in hub])
        until(lambda: b"does not boot" in first_block(memories[0]), "the mark")
        kept = dice.randrange(MIB, KEPT_MAX)
        until(lambda: kept_bytes(memories[0]) > kept, f"{kept} bytes on the card")
        flashing.send_signal(signal.SIGKILL)
        if how == "power lost":
            for card in hub:
                card.lose_power()
        flashing.communicate()
    assert flashing.returncode == -signal.SIGKILL
    assert not any(is_bootable(memory) for memory in memories)
    station = make_station(station_directory, screening="none")
    noted = [
        len(each.read_bytes().split(b"\n")) > ONLY_HEADING for each in journals(station_directory)
    ]
    with ExitStack() as stack:
        again = [stack.enter_context(faulty_card(each, CARD_BYTES)) for each in memories]
        cards = assign([card.device for card in again])
        run(source, station, cards)
    assert sum(card.progress.resumed_bytes > 0 for card in cards) == sum(noted)
    assert journals(station_directory) == []
    for card, memory in zip(cards, memories, strict=True):
        assert card.progress.verdict == "verified", card.progress.reason
        assert differing_ranges(memory, image.plain, source, but=SEED) == []
        assert is_bootable(memory)
