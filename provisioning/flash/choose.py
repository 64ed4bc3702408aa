"""Chooses which card becomes which node, and has a person name every device that is erased."""

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from provisioning.flash.device import Device, list_devices
from provisioning.flash.errors import RefusedError, StationError
from provisioning.flash.guards import Policy, refusals


class Candidate(Struct, frozen=True):
    """A device and why it may not be written; it may when there is no reason."""

    device: Device
    refusals: tuple[str, ...]


def candidates(policy: Policy) -> list[Candidate]:
    """Return every device that is there."""
    return [Candidate(each, tuple(refusals(each, policy))) for each in list_devices()]


def choose(found: Sequence[Candidate], paths: Sequence[str], wanted: int) -> list[Device]:
    """Return the devices for so many nodes: those of `paths`, else all that may be written.

    Raises RefusedError for a named one that may not be written, StationError when there are more
    or fewer than wanted.
    """
    if paths:
        return _named(found, paths, wanted)
    free = [each.device for each in found if not each.refusals]
    if len(free) < wanted:
        raise StationError(f"{len(free)} of {wanted} cards are there; put in the others")
    if len(free) > wanted:
        names = " ".join(each.path for each in free)
        raise StationError(
            f"{len(free)} devices could be written and {wanted} are wanted: {names}; "
            "take the others out, or name each with --device"
        )
    return free


def confirm(devices: Iterable[Device], ask: Callable[[str], str], given: Sequence[str]) -> None:
    """Have the token of every device said back. Raises RefusedError.

    `given`: the tokens from the command line, for scripts; without them a person is asked.
    """
    wanted = [device.token for device in devices]
    said = list(given) or _asked(ask)
    if sorted(said) != sorted(wanted):
        missing = " ".join(each for each in wanted if each not in said)
        surplus = " ".join(each for each in said if each not in wanted)
        raise RefusedError(
            "not confirmed; nothing was written: "
            + "; ".join(
                filter(
                    None,
                    (
                        f"missing {missing}" * bool(missing),
                        f"not asked for {surplus}" * bool(surplus),
                    ),
                )
            )
        )


def _asked(ask: Callable[[str], str]) -> list[str]:
    try:
        return ask("Type the names in the last column to erase these: ").split()
    except EOFError as error:
        raise RefusedError(
            "nobody to ask; nothing was written; give each token with --confirm"
        ) from error


def _named(found: Sequence[Candidate], paths: Sequence[str], wanted: int) -> list[Device]:
    if len(paths) != wanted or len(set(paths)) != len(paths):
        raise StationError(f"{len(paths)} devices are named for {wanted} nodes; name one for each")
    by_path = {each.device.path: each for each in found}
    chosen = []
    for path in paths:
        if path not in by_path:
            known = " ".join(by_path) or "none"
            raise RefusedError(f"{path}: no disk with a medium; there are: {known}")
        if reasons := by_path[path].refusals:
            raise RefusedError(f"{path}: not written: {'; '.join(reasons)}")
        chosen.append(by_path[path].device)
    return chosen
