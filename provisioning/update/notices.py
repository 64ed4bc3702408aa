"""Speaks to nodes by notices at the broker: the few steps of an update, without SSH.

For nodes that nobody reaches, and for large fleets: nodes fetch releases by themselves, and believe
them by their signatures; the controller says when, watches, and confirms.
"""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from node.install.machine import Outcome, Standing
from node.install.notice import Notice, Report, decode_report, notice_topic, report_topic
from provisioning.errors import FleetError
from provisioning.fleet import Fleet
from provisioning.listen import BrokerAccess, Say, listening
from provisioning.update.errors import NodeError, UnreachableError
from provisioning.update.link import Session, Trial

_ASK_TIMEOUT_S = 30.0
_INSTALL_TIMEOUT_S = 900.0
T = TypeVar("T", bound=Outcome)


class Notices:
    """What was reported, and how the broker says that nodes are."""

    def __init__(self) -> None:
        """Nothing can be said before `say` is set: it publishes."""
        self.say: Say = _mute
        self._changed = threading.Condition()
        self._reports: dict[tuple[str, str], Report] = {}
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
        """Give a session with `node`; at its end no notice stays retained."""
        session = NoticeSession(self, node)
        try:
            yield session
        finally:
            if session.noticed:
                self._publish(node, b"")

    def ask(self, node: str, notice: Notice, within_s: float) -> Report:
        """Retain the notice for the node and wait for its report. Raises UnreachableError."""
        self._publish(node, msgspec.json.encode(notice))
        with self._changed:
            if not self._changed.wait_for(lambda: (node, notice.id) in self._reports, within_s):
                raise UnreachableError(f"{node}: no report within {within_s:g} s")
            return self._reports.pop((node, notice.id))

    def _publish(self, node: str, payload: bytes) -> None:
        try:
            self.say(notice_topic(node), payload, retain=True)
        except FleetError as error:
            raise UnreachableError(f"{node}: {error}") from error


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

    def install(self, bundle: str, release: str, trial: Trial) -> Outcome:
        """Have it fetch the bundle at a URL, and try it."""
        notice = Notice(
            id=_id(),
            do="install",
            url=bundle,
            release=release,
            confirm_within_s=trial.confirm_within_s,
            soak_s=trial.soak_s,
        )
        return self._ask(notice, Outcome, _INSTALL_TIMEOUT_S)

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
        yield notices


def _mute(topic: str, payload: bytes, *, retain: bool = False) -> None:
    del payload, retain
    raise FleetError(f"{topic}: there is no broker to speak to")


def _id() -> str:
    return secrets.token_hex(8)
