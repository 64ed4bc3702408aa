"""The steps of an update as a state machine: what the firmware would boot always runs."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from slot_boot import steps
from slot_boot.choice import SIZE_BYTES, Choice, decode, encode, other
from slot_boot.errors import ChoiceError, RefusedError

from provisioning.image.boot.autoboot import parse_autoboot

SLOTS = st.sampled_from(["a", "b"])
CHOICES = st.builds(
    Choice, SLOTS, st.frozensets(SLOTS), st.sampled_from(["", "a", "b"]), st.booleans()
)


class Node(RuleBasedStateMachine):
    """A board, its two slots, RAUC and an office that may ask for anything at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.sector = encode(Choice())
        self.current = "a"
        self.system = {"a": "works", "b": "empty"}
        self.proved = {"a"}

    @property
    def choice(self) -> Choice:
        return decode(self.sector)

    def change(self, choice: Choice) -> None:
        self.sector = encode(choice)

    def boot(self, *, tryboot: bool) -> None:
        """Do what the firmware does; what does not come up falls back by watchdog or by hand."""
        asked = parse_autoboot(self.sector, tryboot=tryboot)
        slot = {2: "a", 3: "b"}[asked.boot_partition]
        if self.system[slot] not in {"works", "sick"}:
            assert tryboot, f"the default slot {slot} is {self.system[slot]}: a brick"
            self.boot(tryboot=False)
            return
        self.current = slot
        self.change(steps.settle(self.choice, self.current))

    @rule(written=st.sampled_from(["works", "sick", "broken", "cut"]))
    def install(self, written: str) -> None:
        """RAUC installs into the slot that does not run; the power may be cut while it writes."""
        target = other(self.current)
        try:
            self.change(steps.mark_bad(self.choice, target, self.current))
        except RefusedError:
            assert self.current != self.choice.default
            return
        self.proved.discard(target)
        self.system[target] = written
        if written == "cut":
            self.boot(tryboot=False)
            return
        self.change(steps.set_primary(self.choice, target, self.current))
        assert steps.primary(self.choice) == target

    @rule(cut=st.booleans())
    def trial(self, cut: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        """Reboot into the trial; the power may be cut between the note and the reboot."""
        try:
            self.change(steps.start_trial(self.choice))
        except RefusedError:
            assert not self.choice.trial
            return
        self.boot(tryboot=not cut)

    @rule()
    def power_cut(self) -> None:
        self.boot(tryboot=False)

    @precondition(lambda self: self.system[self.current] == "works")
    @rule()
    def confirm(self) -> None:
        """Commit what runs: the agent is healthy."""
        self.change(steps.mark_good(self.choice, self.current, self.current))
        self.proved.add(self.current)
        assert self.choice.default == self.current

    @precondition(lambda self: steps.on_trial(self.choice, self.current))
    @rule()
    def give_up(self) -> None:
        """Reboot as the timer of an unconfirmed trial does."""
        self.boot(tryboot=False)
        assert self.current == self.choice.default
        assert not steps.on_trial(self.choice, self.current)

    @rule(slot=SLOTS)
    def office_marks_bad(self, slot: str) -> None:
        """Somebody distrusts a slot by hand."""
        try:
            self.change(steps.mark_bad(self.choice, slot, self.current))
        except RefusedError:
            assert self.current != self.choice.default

    @rule()
    def office_marks_other_good(self) -> None:
        """Somebody trusts by hand what does not run."""
        try:
            self.change(steps.mark_good(self.choice, other(self.current), self.current))
        except RefusedError:
            assert other(self.current) not in self.choice.good

    @rule()
    def office_goes_back(self) -> None:
        """Somebody asks for the default again."""
        self.change(steps.set_primary(self.choice, self.choice.default, self.current))

    @invariant()
    def the_default_has_proved_itself(self) -> None:
        assert self.system[self.choice.default] == "works"
        assert self.choice.default in self.proved

    @invariant()
    def the_trial_is_never_the_default(self) -> None:
        assert self.choice.trial != self.choice.default

    @invariant()
    def what_is_called_good_has_proved_itself(self) -> None:
        assert self.choice.good <= self.proved


TestNode = Node.TestCase


@given(CHOICES)
def test_a_choice_reads_back_and_fills_one_sector(choice: Choice) -> None:
    sector = encode(choice)
    assert len(sector) == SIZE_BYTES
    assert decode(sector) == choice


@given(CHOICES)
def test_the_firmware_reads_the_same(choice: Choice) -> None:
    sector = encode(choice)
    numbers = {"a": 2, "b": 3}
    plain, tried = (parse_autoboot(sector, tryboot=flag) for flag in (False, True))
    assert plain.boot_partition == numbers[choice.default]
    assert tried.boot_partition == numbers[other(choice.default)]
    assert plain.tryboot_a_b
    assert tried.tryboot_a_b


@given(st.one_of(st.binary(max_size=600), st.text().map(str.encode)))
def test_any_text_is_read_or_refused(sector: bytes) -> None:
    with suppress(ChoiceError):
        assert decode(sector).default in {"a", "b"}


def test_the_text_of_a_fresh_card_is_read() -> None:
    text = b"[all]\r\ntryboot_a_b=1\r\nboot_partition=2\r\n[tryboot]\r\nboot_partition=3\r\n"
    assert decode(text) == Choice()


def test_a_trial_that_comes_back_is_told() -> None:
    waiting = steps.set_primary(steps.mark_bad(Choice(), "b", "a"), "b", "a")
    assert steps.is_good(waiting, "b")
    back = steps.settle(steps.start_trial(waiting), "a")
    assert back == Choice()
    assert not steps.is_good(back, "b")
    assert steps.settle(waiting, "a") == waiting


def test_what_a_trial_returns_to_is_not_overwritten() -> None:
    running = steps.start_trial(steps.set_primary(Choice(), "b", "a"))
    with pytest.raises(RefusedError, match=r"slot a is what this trial of slot b returns to"):
        steps.mark_bad(running, "a", "b")
