"""The steps of an update as RAUC asks for them; pure: from one choice to the next.

RAUC's words (https://rauc.readthedocs.io/en/latest/integration.html#custom): the *primary* slot is
the one to boot next, a slot's *state* is good or bad. The firmware's words: a default partition,
and a one-shot trial of the other. An installed slot is first tried; it becomes the default only
when it is marked good *while it runs*.
"""

from dataclasses import replace

from slot_boot.choice import Choice, other
from slot_boot.errors import RefusedError


def primary(choice: Choice) -> str:
    """Return the slot that an update wants to boot next."""
    return choice.trial or choice.default


def is_good(choice: Choice, slot: str) -> bool:
    """Return whether `slot` may be booted: it has proved itself, or waits for its trial."""
    return slot in choice.good or slot == choice.trial


def set_primary(choice: Choice, slot: str, current: str) -> Choice:
    """Ask for `slot`: on trial unless it runs or is the default already."""
    if slot in {choice.default, current}:
        return Choice(default=slot, good=choice.good | {slot})
    return replace(choice, trial=slot, started=False)


def mark_good(choice: Choice, slot: str, current: str) -> Choice:
    """Commit the running `slot` as the default. Raises RefusedError for one that does not run."""
    if slot != current:
        if slot in choice.good:
            return choice
        raise RefusedError(f"slot {slot} does not run: only a slot that runs can prove itself")
    good = choice.good | {slot}
    if slot != choice.default:
        return Choice(slot, good)
    return replace(choice, good=good)


def mark_bad(choice: Choice, slot: str, current: str) -> Choice:
    """Distrust `slot`. Raises RefusedError when it is what a failing trial would return to."""
    if slot == choice.default and current != choice.default:
        raise RefusedError(
            f"slot {slot} is what this trial of slot {current} returns to: confirm the trial"
            " (rauc status mark-good) or reboot before the next update"
        )
    good = choice.good - {slot}
    kept = replace(choice, good=good)
    if slot == choice.trial:
        kept = replace(kept, trial="", started=False)
    if slot == choice.default and other(slot) in good:
        return Choice(default=other(slot), good=good)
    return kept


def start_trial(choice: Choice) -> Choice:
    """Note that the trial's reboot is asked for. Raises RefusedError when no slot waits for one."""
    if not choice.trial:
        raise RefusedError("no slot waits for its first boot: install a bundle first")
    return replace(choice, started=True)


def settle(choice: Choice, current: str) -> Choice:
    """After a boot: a trial that was started and is not what runs has failed."""
    if choice.started and choice.trial != current:
        return replace(choice, good=choice.good - {choice.trial}, trial="", started=False)
    return choice


def on_trial(choice: Choice, current: str) -> bool:
    """Return whether what runs is still to be confirmed."""
    return current != choice.default
