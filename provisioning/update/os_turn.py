"""Gives one node a new system: from the first look at it to a slot that is confirmed.

The node writes the other slot and boots into its trial; whether it keeps it, it decides by itself,
for nobody reaches a system that does not boot. May be called again: a node is asked first what it
runs, so a turn that was cut off is taken up where it stands.
"""

import re
import shlex
import time
from collections.abc import Callable
from contextlib import suppress

from fabric import Connection
from fabric.runners import Result
from msgspec import Struct

from provisioning.update.errors import NodeError, PutOffError, RefusedError, UnreachableError
from provisioning.update.link import Way, answer, files_of, opened
from provisioning.update.os_bundle import OsBundle
from provisioning.update.rollout import Entry, offline
from provisioning.update.turn import address_of, met_again, well_within

_PROGRAMS = "/usr/lib/simpul"
# What both slots see as one.
_SENT = "/var/lib/simpul/system.raucb"
_ASK_TIMEOUT_S = 60
_INSTALL_TIMEOUT_S = 3600
_RETRY_S = 5.0
_SAID_CHARACTERS_MAX = 500
# `rauc install` says why on standard output; on standard error it says only that it failed.
_WHY = re.compile(r"^LastError: (.+)$", re.MULTILINE)
# One line each: version, this start of it, whether it is on trial, how its agent is, what RAUC
# does (its D-Bus interface): it goes on installing when whoever called it is gone.
_LOOK = f"""
[ -x {_PROGRAMS}/os-update ] || exit 3
. /usr/lib/os-release
echo "$IMAGE_VERSION"
echo $(cat /proc/sys/kernel/random/boot_id && cut -d ' ' -f 22 /proc/1/stat)
{_PROGRAMS}/slot-boot on-trial && echo trial || echo kept
systemctl show --property=ActiveState simpul-node.service | sed -n 's/^ActiveState=//p'
echo $(busctl get-property de.pengutronix.rauc / de.pengutronix.rauc.Installer Operation 2>&1)
"""
_INSTALLING = 's "installing"'


class OsOrders(Struct, frozen=True, kw_only=True):
    """What every node is to have. With `url` a node streams it (`{file}`: the bundle's name).

    Within `within_s` it has to be back and to have confirmed its slot; the node itself gives up
    after fifteen minutes.
    """

    bundle: OsBundle
    url: str = ""
    within_s: float = 1800.0
    quiet: Callable[[str], str] = lambda _: ""
    telling: Callable[[str, str], None] = lambda *_: None


class System(Struct, frozen=True):
    """Which system a node runs; `start` is another after every boot."""

    version: str
    start: str
    on_trial: bool
    agent: str
    installing: bool = False


def update_system(node: str, way: Way, orders: OsOrders, *, told: str | None = None) -> Entry:
    """Bring the node to the bundle's version; return how that ended. Raises nothing of its own.

    Offline before anything was done to it, a node stays pending; after that it is a failure. One
    that was `told` already (see Entry), and has booted into its old system since, went back.
    """
    version, before, noise = orders.bundle.version, None, ""
    try:
        with opened(way) as connection:
            before = _settled(connection, orders.within_s)
            if ended := _left_alone(before, version) or _went_back(
                connection, before, told, version
            ):
                return ended
            if before.version != version:
                noise = _give(node, connection, orders, before)
    except (NodeError, RefusedError) as error:
        return Entry("failed", str(error))
    except UnreachableError as error:
        if before is None:
            return offline(error)
        return Entry("unreachable", f"lost before it was told anything: {error}")
    except PutOffError as error:
        return Entry("pending", str(error))
    assert before is not None  # noqa: S101 - for the type checker: else it returned above
    ended = _await(way, before.start, orders)
    return Entry(ended.state, ". ".join(filter(None, (ended.message, noise))), changed=True)


def take_up_system(node: str, way: Way, orders: OsOrders, told: str | None) -> Entry:
    """Go on with a node whose turn was cut off: once it was `told`, it may be booting."""
    return met_again(lambda: update_system(node, way, orders, told=told), orders.within_s)


def _left_alone(before: System, version: str) -> Entry | None:
    """Return how it ends with a node to which, as it stands, nothing is to be done; else None."""
    if before.version != version:
        trial = f"{before.version} is on trial there; wait for its end"
        return Entry("failed", trial) if before.on_trial else None
    if before.on_trial:
        return None
    if before.agent != "active":
        return Entry("failed", f"has {version}, and its agent is {before.agent}; look at it first")
    return Entry("success", f"has {version} already")


def _went_back(connection: Connection, now: System, told: str | None, version: str) -> Entry | None:
    """Return how it ended with a node that was told, and has gone back since; else None."""
    ended = None if told is None else _decided(now, told, version)
    if ended:
        _forget(connection)
    return ended


def look_again_at_system(way: Way, version: str) -> Entry | None:
    """Return how a node stands that got `version` and is not well any more; else None."""
    return well_within(lambda: _look_again(way, version))


def _look_again(way: Way, version: str) -> tuple[Entry | None, bool]:
    """Return what is wrong with a node, and whether that may pass by itself."""
    try:
        with opened(way) as connection:
            now = look_at(connection)
    except UnreachableError as error:
        return Entry("unreachable", f"not met again after its update: {error}"), True
    except NodeError as error:
        return Entry("failed", f"after its update: {error}"), True
    if now.version != version or now.on_trial:
        return Entry("rolled-back", f"has {now.version} again"), False
    if now.agent != "active":
        return Entry("failed", f"after its update: its agent is {now.agent}"), True
    return None, False


def look_at(connection: Connection) -> System:
    """Return what the node runs. Raises UnreachableError, NodeError."""
    done = answer(connection, shlex.join(["sh", "-c", _LOOK]), _ASK_TIMEOUT_S)
    lines = done.stdout.splitlines()
    if done.failed or len(lines) != len(System.__struct_fields__):
        raise NodeError("takes no new system: it has no A/B slots (see docs: A/B slots)")
    return System(lines[0], lines[1], lines[2] == "trial", lines[3], lines[4] == _INSTALLING)


def _settled(connection: Connection, within_s: float) -> System:
    """Return what the node runs once it installs nothing, such as what a run cut off began.

    Raises UnreachableError, NodeError.
    """
    end_s = time.monotonic() + within_s
    while (now := look_at(connection)).installing:
        if time.monotonic() > end_s:
            raise NodeError("is installing a system for too long; look at it first")
        time.sleep(_RETRY_S)  # it tells nobody when it has ended
    return now


def _give(node: str, connection: Connection, orders: OsOrders, before: System) -> str:
    """Have the node boot into the new system's trial; return what is to be told of its guests.

    What was sent in vain is removed: it is most of what the card has left.
    """
    try:
        source = address_of(orders.bundle.file, orders.url) or _send(connection, orders.bundle)
        noise = orders.quiet(node)
        orders.telling(node, before.start)
        _order(connection, source)
    except (NodeError, PutOffError):
        _forget(connection)
        raise
    return noise


def _send(connection: Connection, bundle: OsBundle) -> str:
    """Put the bundle where the new system finds and removes it, over what was left there."""
    with files_of(connection) as files:
        files.put(str(bundle.file), _SENT)
    return _SENT


def _order(connection: Connection, source: str) -> None:
    """Have it installed and booted; returns as the node goes down. Raises NodeError."""
    command = shlex.join([f"{_PROGRAMS}/os-update", source])
    with suppress(UnreachableError):  # it went down faster than it answered
        done = answer(connection, command, _INSTALL_TIMEOUT_S)
        if done.failed:
            raise NodeError(f"refuses it, and runs on: {_reason(done)}")


def _reason(done: Result) -> str:
    said = (done.stderr.strip() or done.stdout.strip())[-_SAID_CHARACTERS_MAX:]
    why = _WHY.search(done.stdout)
    return f"{why[1]}. {said}" if why else said


def _await(way: Way, start: str, orders: OsOrders) -> Entry:
    """Wait until the node is back from `start`, with its new system kept or the old one again."""
    version, end_s = orders.bundle.version, time.monotonic() + orders.within_s
    ended = Entry("unreachable", "not met again")
    while time.monotonic() < end_s:
        time.sleep(_RETRY_S)  # a node that comes back tells nobody
        try:
            with opened(way) as connection:
                now = look_at(connection)
                if decided := _decided(now, start, version):
                    _forget(connection)
                    return decided
        except UnreachableError as error:
            ended = Entry("unreachable", f"not met again: {error}")
            continue
        except NodeError as error:
            return Entry("failed", str(error))
        ended = Entry("failed", f"{now.version} is still not confirmed")
    return ended


def _decided(now: System, start: str, version: str) -> Entry | None:
    """Return how it ended with a node that is back from `start`, and tries no system; else None."""
    if now.version == version:
        return None if now.on_trial else Entry("success", f"runs {version}, confirmed")
    if now.start != start:
        return Entry("rolled-back", f"runs {now.version} again: {version} did not prove itself")
    return None


def _forget(connection: Connection) -> None:
    """Remove what was sent; a node that vanishes meanwhile keeps it, and overwrites it."""
    with suppress(UnreachableError):
        answer(connection, f"rm -f {_SENT}", _ASK_TIMEOUT_S)
