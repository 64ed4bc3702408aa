"""Follows the notices for this node at the broker, and has its own installer carry them out.

It holds a connection and starts `simpul-node install`, no more: whether a release may be installed
is judged by the installer, from signatures. So whoever can write notices can have signed releases
installed that are no older than what the node had, and nothing else.
"""

import logging
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from node.backoff import Backoff
from node.durable import replace_file
from node.errors import UplinkError
from node.install.errors import InstallError
from node.install.notice import (
    Notice,
    Report,
    decode_notice,
    id_of,
    notice_topic,
    report_topic,
    words_of,
)
from node.install.pace import LONGEST_S
from node.settings import Uplink
from node.uplink.link import Link, Message, Received

_TURN_S = 5.0
# A broker may let everyone in and then refuse the subscription, or end the connection.
_LASTED_S = 60.0
# The installer bounds itself, also the longest download; cut off amid a trial it loses a release.
_INSTALL_TIMEOUT_S = LONGEST_S + 3600
_SAID_CHARACTERS_MAX = 500
_log = logging.getLogger(__name__)


class Follower:
    """Hears notices over one link after the other; one is carried out at a time, and once.

    How the node stands is told at any time, also while it installs.
    """

    def __init__(
        self, node: str, uplink: Uplink, make_link: Callable[[], Link], home: Path
    ) -> None:
        """Prepare; nothing is connected yet. `home` is where releases lie (/opt/simpul)."""
        self._node = node
        self._uplink = uplink
        self._make_link = make_link
        self._program = home / "current/bin/simpul-node"
        # A notice is retained, and comes again after every connection and every boot.
        self._done = home / "notice"
        self._link: Link | None = None
        self._busy = False
        self._reports: list[Report] = []
        self._replaced = False

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop`, or until another release runs than this program came from."""
        pause = Backoff(
            min_seconds=self._uplink.backoff_min_seconds,
            max_seconds=self._uplink.backoff_max_seconds,
        )
        while not stop.is_set() and not self._replaced:
            for broker in self._uplink.brokers:
                try:
                    self._follow(broker, stop, pause)
                except UplinkError as error:
                    _log.warning("%s", error)
            if not self._replaced:
                stop.wait(pause.next_seconds())

    def _follow(self, broker: str, stop: threading.Event, pause: Backoff) -> None:
        self._link = link = self._make_link()
        try:
            # It has no word for its death: the agent's tells that the node is gone.
            link.open(broker, Message(topic=report_topic(self._node), payload=b""))
            link.subscribe(notice_topic(self._node))
            lasting_since_s = time.monotonic()
            while not stop.is_set() and not self._replaced:
                for happening in link.turn(_TURN_S):
                    if isinstance(happening, Received):
                        self._take(happening.payload)
                self._report(link)
                if time.monotonic() - lasting_since_s >= _LASTED_S:
                    pause.reset()
        finally:
            link.close()

    def _report(self, link: Link) -> None:
        while self._reports:
            payload = msgspec.json.encode(self._reports[0])
            link.publish(Message(topic=report_topic(self._node), payload=payload))
            self._replaced = self._reports.pop(0).replaced

    def _take(self, payload: bytes) -> None:
        if not payload:  # what was retained is taken away
            return
        try:
            notice = decode_notice(payload)
            if notice.do != "status" and not self._begun(notice):
                return
        except (InstallError, OSError) as error:
            problem = f"notice refused: {error}"[:_SAID_CHARACTERS_MAX]
            _log.warning("%s", problem)
            if refused := id_of(payload):
                self._reports.append(Report(id=refused, problem=problem))
            return
        threading.Thread(target=self._carry_out, args=(notice,), daemon=True).start()

    def _begun(self, notice: Notice) -> bool:
        """Record that `notice` is carried out; return whether it is to be. Raises OSError."""
        if notice.id == self._last():
            return False
        if self._busy:
            self._reports.append(Report(id=notice.id, problem="another notice is carried out"))
            return False
        replace_file(self._done, notice.id.encode())
        self._busy = True
        return True

    def _last(self) -> str:
        try:
            return self._done.read_text("ascii", "replace")
        except FileNotFoundError:
            return ""

    def _carry_out(self, notice: Notice) -> None:
        _log.info("notice %s: %s %s", notice.id, notice.do, notice.release[:12])
        report = self._called(notice)
        if notice.do != "status":
            self._busy = False
        self._reports.append(report)
        if self._link is not None:
            self._link.wake()

    def _called(self, notice: Notice) -> Report:
        try:
            done = subprocess.run(
                [self._program, "install", *words_of(notice)],
                check=False,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                text=True,
                timeout=_INSTALL_TIMEOUT_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Report(id=notice.id, problem=str(error)[:_SAID_CHARACTERS_MAX])
        return Report(
            id=notice.id,
            said=done.stdout.strip(),
            problem=done.stderr.strip()[-_SAID_CHARACTERS_MAX:],
            replaced=done.returncode == 0 and notice.do in {"confirm", "rollback"},
        )
