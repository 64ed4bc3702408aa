"""The collector as a whole: one thread for the network, one for the database and the page."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from hub.collector.asking import Asking
from hub.collector.complaints import Complaints
from hub.collector.forgetting import Forgetting
from hub.collector.inbox import Delivery, Inbox
from hub.collector.intake import Ignored, Item, Measurement, read_message
from hub.collector.link import Link
from hub.collector.patience import Patience, StoppedError
from hub.collector.persist import persist
from hub.collector.show import recall, show
from hub.errors import BrokerError
from hub.public import PublicPage
from hub.public.directory import PublicDirectory
from hub.public.fleet import Fleet
from hub.settings import HubSettings
from hub.settings_file import read_secret
from hub.store import Arrival, Database, open_database
from node.messages import MessageError

_log = logging.getLogger(__name__)
_IDLE_SECONDS = 0.2
_SENDER_SHOWN = 120


def collect(
    settings: HubSettings, stop: threading.Event, *, ready: Callable[[], None] | None = None
) -> None:
    """Collect until `stop` is set; returns within about five seconds after that.

    `ready` is called once everything runs, whether or not broker and database answer yet.
    Raises SettingsError, and BrokerError should the network's thread die.
    """
    database = open_database(
        settings.database.url, password=read_secret(settings.database.password_file)
    )
    inbox = Inbox()
    link = Link(settings.broker, inbox, password=read_secret(settings.broker.password_file))
    collector = _Collector(settings, database, inbox, link, stop)
    network = threading.Thread(target=link.run, name="network", daemon=True)
    network.start()
    try:
        if ready is not None:
            ready()
        collector.run(network)
    except StoppedError as error:
        _log.info("%s", error)
    finally:
        link.stop()
        network.join(timeout=10)
        if not network.is_alive():
            link.close()
        database.close()


class _Collector:
    def __init__(
        self,
        settings: HubSettings,
        database: Database,
        inbox: Inbox,
        link: Link,
        stop: threading.Event,
    ) -> None:
        self._batch_max = settings.database.batch_max
        self._database = database
        self._inbox = inbox
        self._link = link
        self._stop = stop
        self._fleet = Fleet(settings.public)
        self._page = PublicPage(self._fleet, PublicDirectory(Path(settings.public.directory)))
        self._patience = Patience(settings.database, stop)
        self._asking = Asking(database, link, self._fleet, settings.gaps)
        self._forgetting = Forgetting(database, keep_days=settings.database.keep_days)
        self._complaints = Complaints()

    def run(self, network: threading.Thread) -> None:
        self._patience.until_done(self._database.create_tables)
        self._patience.until_done(lambda: recall(self._fleet, self._database))
        while not self._stop.is_set():
            if not network.is_alive():
                raise BrokerError("the network's thread died; the service must start again")
            connected = self._link.connected
            batch = self._inbox.take(self._batch_max, timeout_seconds=_IDLE_SECONDS)
            if batch:
                self._handle(batch)
            elif connected:
                self._page.told(time.monotonic(), backlog=False)
            self._asking.tick(time.monotonic())
            self._forgetting.tick(time.monotonic())
            # Who hears nobody says nothing of them: the file grows old, and the page tells that.
            if self._link.connected:
                self._page.refresh(time.monotonic())

    def _handle(self, batch: list[Delivery]) -> None:
        read = [(delivery, self._read(delivery)) for delivery in batch]
        arrivals = [
            Arrival(item.envelope, delivery.received_at)
            for delivery, item in read
            if isinstance(item, Measurement)
        ]
        persist(self._database, self._patience, arrivals, [item for _, item in read])
        self._forgetting.heard([arrival.envelope for arrival in arrivals])
        self._link.acknowledge(batch)
        for delivery, item in read:
            try:
                show(self._fleet, self._page, item, delivery)
            except MessageError as error:
                self._refuse(delivery, error)
        # The broker first delivers what it queued while nobody was there, then what it retains.
        backlog = not any(delivery.retained for delivery in batch)
        self._page.told(time.monotonic(), backlog=backlog)

    def _read(self, delivery: Delivery) -> Item:
        try:
            return read_message(delivery.topic, delivery.payload)
        except MessageError as error:
            self._refuse(delivery, error)
            return Ignored()

    def _refuse(self, delivery: Delivery, error: MessageError) -> None:
        self._complaints.refuse(delivery.topic[:_SENDER_SHOWN], str(error), now=time.monotonic())
