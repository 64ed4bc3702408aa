"""Hears over MQTT, during a rollout, what the operator wishes and where guests are connected."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from node.messages import MessageError, State, Wifi, decode_data, decode_envelope, parse_topic
from provisioning.errors import FleetError
from provisioning.listen import BrokerAccess, Say, listening
from provisioning.update.engine import Wish, as_wish
from provisioning.update.errors import PutOffError

_KINDS = ("state", "wifi")
_LOOK_S = 0.5
_log = logging.getLogger(__name__)


def wish_topic(record: Path) -> str:
    """Return where the wish for the rollout in `record` is retained; no node may write there."""
    return f"simpul/rollout/{record.stem}"


class Air:
    """What was heard: the latest wish, and how many guests each node has (None: no hotspot)."""

    def __init__(self, topic: str = "") -> None:
        """Hear the wishes on `topic`; where nobody listens, nothing is wished and all is quiet."""
        self._topic = topic
        self._changed = threading.Condition()
        self._wish: Wish = ""
        self._guests: dict[str, int | None] = {}

    def wish(self) -> Wish:
        """Return the latest wish."""
        return self._wish

    def hear(self, topic: str, payload: bytes) -> None:
        """Take in a message; what does not follow the contract is passed over."""
        with self._changed:
            if topic == self._topic:
                self._wish = as_wish(payload.decode(errors="replace"))
            else:
                self._take(topic, payload)
            self._changed.notify_all()

    def wait_quiet(self, node: str, within_s: float, held: Callable[[], str]) -> str:
        """Return once no guest is connected to `node`, or the time is over: then say so.

        A node that never told of its hotspot is waited for as well. Raises PutOffError when the
        rollout is held or stopped meanwhile: then `held` says why.
        """
        end_s = time.monotonic() + within_s
        with self._changed:
            while self._guests.get(node, 1):
                left_s = end_s - time.monotonic()
                if left_s <= 0:
                    count = self._guests.get(node)
                    told = "its guests are not known" if count is None else f"{count} guests stayed"
                    return f"not quiet within {within_s:g} s: {told}"
                if why := held():
                    raise PutOffError(f"put off while guests were connected: {why}")
                self._changed.wait(min(_LOOK_S, left_s))
        return ""

    def _take(self, topic: str, payload: bytes) -> None:
        parsed = parse_topic(topic)
        if parsed is None:
            return
        try:
            envelope = decode_envelope(payload)
            if envelope.node != parsed[0] or envelope.historical:
                return
            if envelope.kind == "wifi":
                self._guests[envelope.node] = decode_data(envelope, Wifi).stations_count
            elif envelope.kind == "state" and not decode_data(envelope, State).hotspot:
                self._guests[envelope.node] = None
        except MessageError:
            return


@contextmanager
def on_air(access: BrokerAccess | None, record: Path) -> Iterator[Air]:
    """Give what is heard during the rollout in the file `record`. Raises FleetError.

    At the end, unless that is an error, a wish is taken from the broker, so that a rollout that
    goes on later obeys it not. How the rollout ended is not lost over it.
    """
    if access is None:
        yield Air()
        return
    air = Air(wish_topic(record))
    with listening(access, _KINDS, air.hear, topics=(wish_topic(record),)) as say:
        yield air
        if air.wish():
            try:
                _say_wish(say, record, "")
            except FleetError as error:
                _log.warning("%s; a resumed rollout obeys that wish again", error)


def say_wish(access: BrokerAccess, record: Path, wish: Wish) -> None:
    """Retain a wish for the rollout in the file `record`, wherever it runs. Raises FleetError."""
    with listening(access, (), lambda *_: None, topics=(wish_topic(record),)) as say:
        _say_wish(say, record, wish)


def _say_wish(say: Say, record: Path, wish: Wish) -> None:
    say(wish_topic(record), wish.encode(), retain=True)
