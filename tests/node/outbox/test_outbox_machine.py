"""Whatever happens in whatever order, the outbox neither loses nor invents a message."""

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from node.clock import FakeClock
from node.messages import Health, OutboxDamaged
from node.outbox.batch import Rank
from node.outbox.outbox import Delivery, Outbox
from node.settings import Outbox as OutboxSettings


class OutboxMachine(RuleBasedStateMachine):
    """Sources, writer, uplink, hub and power, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.clock = FakeClock(wall=datetime(2026, 5, 1, tzinfo=UTC), synced=True)
        self.arrived: set[tuple[str, int]] = set()
        self.committed: dict[str, int] = {}
        self.pending = 0
        self.flying: list[Delivery] = []
        self.boots = 0
        self.start()

    def start(self) -> None:
        self.boots += 1
        self.boot = f"{self.boots:016x}"
        self.outbox = Outbox(
            self.directory / "outbox.db",
            OutboxSettings(),
            node="taman",
            boot=self.boot,
            clock=self.clock,
        )
        self.committed[self.boot] = 0
        self.pending = 0
        self.flying = []
        self.outbox.commit()

    @rule(count=st.integers(1, 20), event=st.booleans())
    def put(self, count: int, event: bool) -> None:  # noqa: FBT001 - hypothesis calls by name
        for number in range(count):
            if event:
                data = OutboxDamaged(reason="x", salvaged_count=number)
                self.outbox.put(Rank.EVENT, "event/outbox-damaged", data)
            else:
                self.outbox.put(Rank.MEASUREMENT, "health", Health(load_1min=number))
        self.pending += count

    @rule()
    def commit(self) -> None:
        self.outbox.commit()
        self.committed[self.boot] += self.pending
        self.pending = 0

    @rule(seconds=st.floats(0.1, 600))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def connect(self) -> None:
        self.outbox.attach(lambda: None)

    @rule(fresh=st.booleans())
    def take(self, fresh: bool) -> None:  # noqa: FBT001 - hypothesis calls by name
        delivery = self.outbox.take_fresh() if fresh else self.outbox.take_history()
        if delivery:
            self.flying.append(delivery)

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        delivery = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        self.arrived |= {(envelope.boot, envelope.seq) for envelope in delivery.envelopes}
        self.outbox.acknowledge(delivery)

    @rule()
    def disconnect(self) -> None:
        self.flying = []
        self.outbox.detach()

    @rule(data=st.data())
    def ask_for_replay(self, data: st.DataObject) -> None:
        boot = data.draw(st.sampled_from(sorted(self.committed)))
        last = self.committed[boot]
        if last:
            first = data.draw(st.integers(1, last))
            assert self.outbox.replay(boot, first, last) == ()

    @rule()
    def killed(self) -> None:
        # The process is gone without a word; what was not committed had no number yet.
        self.kernel_closes()
        self.start()

    def kernel_closes(self) -> None:
        if self.outbox._store:
            self.outbox._store.close()

    @rule()
    def stopped(self) -> None:
        self.outbox.close()
        self.committed[self.boot] += self.pending
        self.start()

    @invariant()
    def counts_what_is_unsent(self) -> None:
        figures = self.outbox.figures()
        assert figures.sacrificed_count == figures.unrecorded_count == 0
        total = sum(self.committed.values())
        assert 0 <= figures.unsent_count <= total
        assert total - len(self.arrived) <= figures.unsent_count

    def teardown(self) -> None:
        self.commit()
        self.outbox.detach()
        while delivery := self.outbox.take_history():
            self.arrived |= {(envelope.boot, envelope.seq) for envelope in delivery.envelopes}
            self.outbox.acknowledge(delivery)
        expected = {
            (boot, seq) for boot, last in self.committed.items() for seq in range(1, last + 1)
        }
        assert self.arrived == expected
        self.kernel_closes()
        shutil.rmtree(self.directory)


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = hypothesis_settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
