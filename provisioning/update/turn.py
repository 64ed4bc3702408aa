"""Updates one node, from the first look at it to the proof that it is well; may be called again.

A node is asked first what it has, so a turn that was cut off (the controller died) is taken up
where it stands: what is on trial is proved, what is confirmed is left alone.
"""

import time
from collections.abc import Callable, Container
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

import msgspec
from msgspec import Struct

from node.install.machine import Outcome, Standing
from provisioning.update.bundles import Catalog
from provisioning.update.errors import (
    NodeError,
    PlanError,
    PutOffError,
    RecordError,
    RefusedError,
    UnreachableError,
)
from provisioning.update.link import Session, Trial
from provisioning.update.plan import Place
from provisioning.update.rollout import Entry, not_met_again, offline

Connect = Callable[[Place], AbstractContextManager[Session]]
_RETRY_S = 2.0
_MARGIN_S = 10.0
# A node that was cut off judges the release and takes it back by itself, and is then met again.
_RETURN_S = 120.0
_BUSY_MAX_S = 300.0
_TOO_BUSY = "an installer is at work for too long"
_DIGITS = 12
# So begins what a node says of the release that it took back last (see node.install.settle).
_NAMED_DIGITS = 16
# What a release may not lose, and how that is called.
_LOST = MappingProxyType(
    {
        "delivers": "it reaches no broker, though it did before",
        "frames": "its camera gives no frames, though it did before",
        "beacons": "its access point is not up, though it was before",
    }
)


class Orders(Struct, frozen=True, kw_only=True):
    """What every node is to have, and how it is tried.

    With `url` a node fetches by itself (`{file}` stands for the bundle's name); else it is sent.
    `quiet` waits until a node is not in use, and returns what is to be told when it never was.
    `telling` writes down that a node is told now, and the mark that it has before. Both raise
    PutOffError when it is not to be told any more.
    """

    catalog: Catalog
    trial: Trial = Trial()
    url: str = ""
    quiet: Callable[[str], str] = lambda _: ""
    telling: Callable[[str, str], None] = lambda *_: None


def update_node(
    place: Place, connect: Connect, orders: Orders, *, told: str | None = None
) -> Entry:
    """Bring the node of `place` to its release; return how that ended. Raises nothing of its own.

    Offline before anything was done to it, a node stays pending; after that it is a failure. What a
    node took back by itself since this rollout `told` it (see Entry), it is not given again.
    """
    before: Standing | None = None
    try:
        with connect(place) as session:
            before = session.status()
            before = _settled(session, before)
            if gone := _went_back(before, orders, told):
                return gone
            return _update(place, session, before, connect, orders)
    except (NodeError, RefusedError) as error:
        return Entry("failed", str(error))
    except UnreachableError as error:
        if before is None:
            return offline(error)
        return Entry("unreachable", str(error))
    except PutOffError as error:
        return Entry("pending", str(error))


def take_up_node(place: Place, connect: Connect, orders: Orders, told: str | None) -> Entry:
    """Go on with a node whose turn was cut off; once it was `told`, it may go back by itself."""
    return met_again(
        lambda: update_node(place, connect, orders, told=told),
        orders.trial.confirm_within_s + _RETURN_S,
    )


def roll_back_node(place: Place, connect: Connect, releases: Container[str]) -> Entry:
    """Let the node of `place` leave any of `releases` for the one before; may be said twice."""
    before: Standing | None = None
    try:
        with connect(place) as session:
            before = session.status()
            before = _settled(session, before)
            # A release that is being started is named, too: whoever leaves it takes it back.
            trying = before.status == "trial" or before.release in releases
            runs = before.release if trying else before.confirmed
            if runs not in releases:
                return _stays(before, runs)
            outcome = session.rollback(runs)
    except (NodeError, RefusedError) as error:
        return Entry("failed", str(error))
    except UnreachableError as error:
        return Entry("unreachable", str(error)) if before else offline(error)
    if no_better := _no_better(outcome):
        return Entry("failed", no_better)
    return Entry("success", f"has {outcome.confirmed[:_DIGITS]} again", changed=outcome.changed)


def _stays(before: Standing, runs: str) -> Entry:
    if _at_work(before):
        return Entry("failed", _joined(_TOO_BUSY, before.message))
    return Entry("success", f"has {runs[:_DIGITS] or 'no release'}, which stays")


def _no_better(left: Outcome) -> str:
    """Return why a release stays that was to be left; empty when it does not."""
    if left.status != "reverted":
        return ""
    return f"the one before is no better: {left.message}"


def take_up_rollback(place: Place, connect: Connect, releases: Container[str]) -> Entry:
    """Go on with a node whose rollback was cut off; it may be starting the release before."""
    return met_again(lambda: roll_back_node(place, connect, releases), _RETURN_S)


def met_again(turn: Callable[[], Entry], within_s: float) -> Entry:
    """Take the turn once the node is there; that it is away is no excuse for one that was begun."""
    end_s = time.monotonic() + within_s
    while (entry := turn()).away:
        if time.monotonic() > end_s:
            return not_met_again(entry)
        time.sleep(_RETRY_S)  # a node that comes back tells nobody
    return entry


def _went_back(now: Standing, orders: Orders, told: str | None) -> Entry | None:
    """Return how it ended with a node that took the release back since it was told; else None."""
    # Installers of older releases show no mark: of theirs the worse is taken.
    if told is None or (now.mark and now.mark == told):
        return None
    release = orders.catalog.choose(now).release
    idle = now.status == "idle" and not now.busy
    if idle and now.message.startswith(release[:_NAMED_DIGITS]):
        return Entry("rolled-back", now.message)
    return None


def look_again(
    place: Place, entry: Entry, connect: Connect, releases: Container[str]
) -> Entry | None:
    """Return how a node stands that was updated a while ago and is not well any more; else None.

    A release under which the agent crashes or ended is taken back. That it lost what it had when it
    ended as `entry` tells, such as the broker, may have another reason, for many nodes at once: it
    stops the rollout, and is left for a person. One look that fails says nothing of a node on a
    weak link: it is looked at for two minutes.
    """
    return well_within(lambda: _look(place, entry, connect, releases))


def well_within(look: Callable[[], tuple[Entry | None, bool]]) -> Entry | None:
    """Look until nothing is wrong, or for two minutes while it may pass; return what it is."""
    end_s = time.monotonic() + _RETURN_S
    while True:
        trouble, passing = look()
        if trouble is None or not passing or time.monotonic() > end_s:
            return trouble
        time.sleep(_RETRY_S)  # a node that comes back tells nobody


def _look(
    place: Place, entry: Entry, connect: Connect, releases: Container[str]
) -> tuple[Entry | None, bool]:
    """Return what is wrong with a node, and whether that may pass by itself."""
    try:
        with connect(place) as session:
            now = session.status()
            if now.confirmed not in releases:
                gone = now.message or "the release is not on it any more"
                return Entry("rolled-back", gone), False
            if why := _late_trouble(now):
                return _left(session, now.confirmed, f"after its update: {why}"), False
    except UnreachableError as error:
        return Entry("unreachable", f"not met again after its update: {error}"), True
    except NodeError as error:
        return Entry("failed", f"after its update: {error}"), True
    less = lost(entry.had, now)
    return (Entry("failed", f"after its update: {less}"), True) if less else (None, False)


def _late_trouble(now: Standing) -> str:
    if now.active is False:
        return "its agent does not run any more"
    return f"its agent crashed {now.restarts} times" if now.restarts else ""


def _update(
    place: Place, session: Session, before: Standing, connect: Connect, orders: Orders
) -> Entry:
    choice = orders.catalog.choose(before)
    if ended := _left_alone(before, choice.release):
        return ended
    told, noise = False, ""
    try:
        if before.status == "trial" and before.release == choice.release:
            outcome: Outcome = before
        else:
            bundle = address_of(choice.file, orders.url) or session.send(choice.file)
            noise = _allowed(place, session, before, bundle, orders)
            told = True
            outcome = session.install(bundle, choice.release, orders.trial)
    except UnreachableError as error:
        if not told:
            return Entry("unreachable", f"lost before it was told anything: {error}")
        # Perhaps only the connection broke, and the installer goes on.
        return prove(
            place, choice.release, before, connect, orders.trial.confirm_within_s, str(error)
        )
    if outcome.status in {"current", "installed"}:
        words, had = _joined(outcome.message, noise), signs_of(before)
        return Entry("success", words, changed=outcome.changed, had=had)
    if outcome.status == "reverted":
        return Entry("rolled-back", _joined(outcome.message, noise))
    proved = prove(place, choice.release, before, connect, outcome.deadline_seconds, "")
    return msgspec.structs.replace(proved, message=_joined(proved.message, noise))


def _allowed(place: Place, session: Session, before: Standing, bundle: str, orders: Orders) -> str:
    """Wait until the node may be told, and write down that it is; return what is to be told then.

    What was sent in vain is removed.
    """
    try:
        noise = orders.quiet(place.name)
        orders.telling(place.name, before.mark)
    except (PutOffError, RecordError):
        if not orders.url:
            session.discard(bundle)
        raise
    return noise


def _left_alone(before: Standing, release: str) -> Entry | None:
    """Return how it ends with a node to which, as it stands, nothing is to be done; else None."""
    if _at_work(before):
        return Entry("failed", _joined(_TOO_BUSY, before.message))
    has_it = before.confirmed == release and before.status == "idle"
    if before.active is False:
        when = f"though it has {release[:_DIGITS]}" if has_it else "before the update"
        return Entry("failed", f"its agent did not run, {when}; look at it first")
    if has_it:
        return Entry("success", f"has {release[:_DIGITS]} already", had=signs_of(before))
    return None


def prove(
    place: Place, release: str, before: Standing, connect: Connect, within_s: float, why: str
) -> Entry:
    """Confirm the release once the node is met anew and is no worse than before.

    A new connection each time: that SSH still works is part of the proof. A node that does not
    answer is waited for until it has taken the release back, to tell why.
    """
    end_s = time.monotonic() + within_s - _MARGIN_S
    met = False
    while True:
        try:
            with connect(place) as session:
                met, now = True, _settled(session, session.status())
                if now.confirmed == release and now.status == "idle":
                    return Entry("success", "confirmed", changed=True, had=signs_of(now))
                if now.status == "idle" and not now.busy:
                    return Entry("rolled-back", now.message or "the release is not on it any more")
                why = (now.message or "an installer is at work") if now.busy else ""
                why = why or _worse(before, now)
                if not why and now.release == release:
                    session.confirm(release)
                    words = f"confirmed {release[:_DIGITS]}"
                    return Entry("success", words, changed=True, had=signs_of(now))
        except UnreachableError as error:
            met, why = False, str(error)
        except NodeError as error:
            why = str(error)
        if time.monotonic() > (end_s if met else end_s + _RETURN_S):
            break
        time.sleep(_RETRY_S)  # a node that comes back tells nobody
    if met:
        return _take_back(place, release, connect, why)
    return Entry("unreachable", f"not met again: {why}; it takes the release back by itself")


def _take_back(place: Place, release: str, connect: Connect, why: str) -> Entry:
    try:
        with connect(place) as session:
            return _left(session, release, why)
    except UnreachableError as error:
        return Entry("unreachable", f"{why}; then {error}; it takes the release back by itself")
    except NodeError as error:
        return Entry("failed", f"{why}; not taken back: {error}")


def _left(session: Session, release: str, why: str) -> Entry:
    """Have the node leave the release, and return how it ended, `why` being the reason."""
    no_better = _no_better(session.rollback(release))
    return Entry("failed" if no_better else "rolled-back", _joined(why, no_better))


def _settled(session: Session, now: Standing) -> Standing:
    """Return how the node stands once no installer is at work, such as that of a run cut off."""
    end_s = time.monotonic() + _BUSY_MAX_S
    while _at_work(now) and time.monotonic() < end_s:
        time.sleep(_RETRY_S)  # it tells nobody when it has ended
        now = session.status()
    return now


def _at_work(now: Standing) -> bool:
    """Tell whether an installer is. What one left half done the next order settles by itself."""
    return now.busy and not now.unfinished


def check_url(url: str) -> str:
    """Return `url` as it came. Raises PlanError when it has a place for anything but {file}."""
    if set("{}") & set(url.replace("{file}", "")):
        raise PlanError(f"--url {url}: only {{file}} can stand in it, for the bundle's name")
    return url


def address_of(bundle: Path, url: str) -> str:
    """Return where a node fetches `bundle` by itself (`{file}` in `url` is its name); else none."""
    return url.replace("{file}", quote(bundle.name))


def _joined(*words: str) -> str:
    return "; ".join(word for word in words if word)


def _worse(before: Standing, now: Standing) -> str:
    if now.active is False:
        return "its agent does not run"
    return lost(signs_of(before), now)


def signs_of(standing: Standing) -> tuple[str, ...]:
    """Return what of a node works, by the names of Standing."""
    return tuple(name for name in _LOST if getattr(standing, name))


def lost(had: Container[str], now: Standing) -> str:
    """Return what a node has lost that it `had`; empty when nothing."""
    words = (words for name, words in _LOST.items() if name in had and getattr(now, name) is False)
    return ", ".join(words)
