"""A station whose card hardly answers goes on with the others, and tells of it in the end."""

import signal
import threading
from collections import deque
from pathlib import Path

import pytest
from services.card_images import MIB
from services.faulty_cards import faulty_card, needs_faulty_cards
from services.flash_batches import assign, make_station, run
from services.loop_cards import loop_card
from services.waiting import until

from provisioning.flash.batch import Batch
from provisioning.flash.choose import Candidate
from provisioning.flash.settings import StationSettings
from provisioning.flash.source import Source
from provisioning.flash.station import Queue, serve
from provisioning.inventory import Node

pytestmark = [needs_faulty_cards, pytest.mark.timeout(180)]
CARD_BYTES = 96 * MIB


def test_another_card_is_made_meanwhile(source: Source, station_directory: Path) -> None:
    station = make_station(station_directory, screening="none")
    batch, queue, said = Batch(source, station), Queue(deque([Node(name="node-1")])), list[str]()
    with (
        faulty_card(station_directory / "slow", CARD_BYTES) as slow,
        loop_card(station_directory / "other", CARD_BYTES) as other,
    ):
        run(source, station, assign([slow.device]))
        settings = StationSettings(slots={"1": slow.device.port, "2": other.port})
        found = [Candidate(slow.device, ()), Candidate(other, ())]
        slow._server.send_signal(signal.SIGSTOP)
        # A read that hangs cannot be ended; were it in this thread, nothing would go on.
        late = threading.Timer(20, slow._server.send_signal, [signal.SIGCONT])
        late.start()

        def serve_once() -> int:
            serve(batch, queue, settings, found, said.append)
            return len(queue.looking)

        until(lambda: serve_once() == 1 and bool(batch.cards), "the other card")
        batch.wait(lambda _: None)
        assert [card.progress.verdict for card in batch.cards] == ["verified"]
        assert said == []
        late.cancel()
        slow._server.send_signal(signal.SIGCONT)
        until(lambda: serve_once() == 0, "the slow card")
    assert "slot 1: this card is finished already" in said[-1]
