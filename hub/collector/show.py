"""Hands what was delivered on to the public page."""

import logging

from hub.collector.inbox import Delivery
from hub.collector.intake import Cleared, Item, Measurement, StateChange, Still
from hub.public import PublicPage
from hub.public.fleet import Fleet
from hub.store import Arrival, Database, newest
from node.messages import MessageError, Wifi, decode_data

_log = logging.getLogger(__name__)


def show(fleet: Fleet, page: PublicPage, item: Item, delivery: Delivery) -> None:
    """Let the page know. Raises MessageError when the data of a measurement does not fit."""
    received_at = delivery.received_at
    match item:
        case Measurement(envelope):
            fleet.heard(envelope, received_at=received_at)
            if envelope.kind == "wifi":
                fleet.wifi(envelope, decode_data(envelope, Wifi), received_at=received_at)
        case StateChange(envelope, state):
            fleet.state(envelope, state, received_at=received_at, retained=delivery.retained)
        case Still(info, jpeg):
            if fleet.still(info, jpeg, received_at=received_at, retained=delivery.retained):
                page.still(info.node, jpeg)
        case Cleared(node, "frame"):
            fleet.forget_still(node)
            page.still(node, None)
        case Cleared(node, "state"):
            fleet.forget(node)
            page.still(node, None)
        case _:
            pass


def recall(fleet: Fleet, database: Database) -> None:
    """Show the newest hotspot figures from before a restart. Raises StoreUnavailableError."""
    for arrival in newest(database, "wifi"):
        _recall_wifi(fleet, arrival)


def _recall_wifi(fleet: Fleet, arrival: Arrival) -> None:
    try:
        wifi = decode_data(arrival.envelope, Wifi)
    except MessageError as error:
        _log.info("not recalled: %s", error)
        return
    fleet.wifi(arrival.envelope, wifi, received_at=arrival.received_at)
