"""Speaks to nodes by notices at the broker: the few steps of an update, without SSH.

For nodes that nobody reaches, and for large fleets: nodes fetch releases by themselves, and believe
them by their signatures; the controller says when, watches, and confirms.
"""

import logging
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from node.install.errors import InstallError
from node.install.machine import Outcome, Standing
from node.install.notice import (
    Notice,
    Report,
    decode_notice,
    decode_report,
    notice_topic,
    report_topic,
)
from provisioning.errors import FleetError
from provisioning.fleet import Fleet
from provisioning.listen import BrokerAccess, Say, listening
from provisioning.update.errors import NodeError, PlanError, UnreachableError
from provisioning.update.link import Session, Trial

_ASK_TIMEOUT_S = 30.0
_INSTALL_TIMEOUT_S = 900.0
_TIDY_S = 30.0
_RETRY_S = 1.0
_log = logging.getLogger(__name__)
T = TypeVar("T", bound=Outcome)


class Notices:
    """What was reported, and how the broker says that nodes are."""

    def __init__(self) -> None:
        """Nothing can be said before `say` is set: it publishes."""
        self.say: Say = _mute
        self._changed = threading.Condition()
        self._reports: dict[tuple[str, str], Report] = {}
        self._left: list[str] = []
        """Nodes whose notice could not be taken away."""
        self._fleet = Fleet()

    def hear(self, topic: str, payload: bytes) -> None:
        """Take in a message; what does not follow the contract is passed over."""
        with self._changed:
            self._fleet.hear(topic, payload)
            if found := decode_report(topic, payload):
                node, report = found
                self._reports[node, report.id] = report
            self._changed.notify_all()

    def offline(self, node: str) -> bool:
        """Tell whether the broker says that the node's agent is gone."""
        with self._changed:
            view = self._fleet.nodes.get(node)
            return bool(view and view.state and not view.state.online)

    @contextmanager
    def session(self, node: str) -> Iterator[Session]:
        """Give a session with `node`; at its end its notice is taken away.

        Where the broker does not take that, it is for `tidy`: how the node's turn ended is not lost
        over it.
        """
        session = NoticeSession(self, node)
        try:
            yield session
        finally:
            if session.noticed and (why := self._take_away(node)):
                _log.warning("%s; its notice is taken away later", why)
                self._left.append(node)

    def tidy(self) -> None:
        """Take away what could not be taken away before; a broker that restarts is waited for."""
        end_s, why = time.monotonic() + _TIDY_S, ""
        while self._left:
            if why := self._take_away(self._left[0]):
                if time.monotonic() > end_s:
                    _log.warning("%s; still retained: notices for %s", why, ", ".join(self._left))
                    return
                time.sleep(_RETRY_S)
            else:
                del self._left[0]

    def ask(self, node: str, notice: Notice, within_s: float) -> Report:
        """Retain the notice for the node and wait for its report.

        Raises UnreachableError; PlanError for a notice that no node would obey.
        """
        self._publish(node, payload_of(notice))
        with self._changed:
            if not self._changed.wait_for(lambda: (node, notice.id) in self._reports, within_s):
                raise UnreachableError(f"{node}: no report within {within_s:g} s")
            return self._reports.pop((node, notice.id))

    def _publish(self, node: str, payload: bytes) -> None:
        try:
            self.say(notice_topic(node), payload, retain=True)
        except FleetError as error:
            raise UnreachableError(f"{node}: {error}") from error

    def _take_away(self, node: str) -> str:
        """Let no notice be retained for the node; return why that could not be done."""
        try:
            self._publish(node, b"")
        except UnreachableError as error:
            return str(error)
        return ""


class NoticeSession:
    """A session by notices; see the protocol."""

    def __init__(self, notices: Notices, node: str) -> None:
        """Nothing was said yet."""
        self._notices = notices
        self._node = node
        self.noticed = False

    def status(self) -> Standing:
        """Ask the node's installer; that the broker knows its agent as gone outweighs its word."""
        standing = self._ask(Notice(id=_id(), do="status"), Standing, _ASK_TIMEOUT_S)
        if self._notices.offline(self._node):
            return msgspec.structs.replace(standing, delivers=False)
        return standing

    def send(self, bundle: Path) -> str:
        """Refuse: whoever is not reached is sent nothing."""
        raise NodeError(f"{bundle.name} cannot be sent to it; it fetches by itself")

    def discard(self, bundle: str) -> None:
        """Do nothing: nothing was sent."""

    def install(self, bundle: str, release: str, trial: Trial) -> Outcome:
        """Have it fetch the bundle at a URL, and try it."""
        return self._ask(to_install(bundle, release, trial), Outcome, _INSTALL_TIMEOUT_S)

    def confirm(self, release: str) -> Outcome:
        """Have it keep the release on trial."""
        return self._ask(Notice(id=_id(), do="confirm", release=release), Outcome, _ASK_TIMEOUT_S)

    def rollback(self, leaving: str) -> Outcome:
        """Have it leave that release."""
        notice = Notice(id=_id(), do="rollback", release=leaving)
        return self._ask(notice, Outcome, _INSTALL_TIMEOUT_S)

    def _ask(self, notice: Notice, kind: type[T], within_s: float) -> T:
        self.noticed = True
        report = self._notices.ask(self._node, notice, within_s)
        try:
            return msgspec.json.decode(report.said, type=kind)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise NodeError(report.problem or f"reports what no node reports: {error}") from error


@contextmanager
def noticing(access: BrokerAccess) -> Iterator[Notices]:
    """Give what speaks to nodes while the context lasts. Raises FleetError."""
    notices = Notices()
    topics = (report_topic("+"),)
    with listening(access, ("state",), notices.hear, topics=topics) as say:
        notices.say = say
        try:
            yield notices
        finally:
            notices.tidy()


def to_install(url: str, release: str, trial: Trial) -> Notice:
    """Return the notice that has a node fetch the release, and try it."""
    return Notice(
        id=_id(),
        do="install",
        url=url,
        release=release,
        confirm_within_s=trial.confirm_within_s,
        soak_s=trial.soak_s,
    )


def payload_of(notice: Notice) -> bytes:
    """Return the notice as nodes read it. Raises PlanError for one that none would obey.

    Here it is refused before anything begins; nodes of older releases say nothing to it.
    """
    payload = msgspec.json.encode(notice)
    try:
        decode_notice(payload)
    except InstallError as error:
        raise PlanError(f"nodes would refuse the notice: {error}; see the options") from error
    return payload


def _mute(topic: str, payload: bytes, *, retain: bool = False) -> None:
    del payload, retain
    raise FleetError(f"{topic}: there is no broker to speak to")


def _id() -> str:
    return secrets.token_hex(8)
