"""Carries questions to the kernel's nl80211 and brings back its replies as they are."""

import errno
import socket
import struct
import time
from collections.abc import Mapping
from typing import Protocol

from node.errors import RadioError
from node.hotspot import netlink

GET_INTERFACE = 5  # enum nl80211_commands, <linux/nl80211.h>
GET_STATION = 17
GET_SURVEY = 50
_ATTR_IFINDEX = 3

_GENERIC_HEADER = struct.Struct("=BBH")  # command, version, reserved; <linux/genetlink.h>
_CONTROLLER = 16  # GENL_ID_CTRL
_GET_FAMILY = 3
_ATTR_FAMILY_ID = 1
_ATTR_FAMILY_NAME = 2

_NETLINK_GENERIC = 16
_SOL_NETLINK = 270
_CAP_ACK = 10  # an error carries only the header of the request
_EXT_ACK = 11  # and an explanation in words
_RECEIVE_BYTES = 65_536  # the kernel fills at most half of it; netlink(7)
_REPLY_SECONDS = 0.5  # of one dump; a reading takes three


class Transport(Protocol):
    """Asks nl80211."""

    def dump(self, command: int, index: int | None = None) -> bytes:
        """Return the whole reply to a dump `command`, with the message that ends it.

        `index` is the interface's number, where the command wants one. A refusal stands in the
        reply. Raises RadioError when there is no reply.
        """


class KernelTransport:
    """The running kernel, over a generic netlink socket for each question; needs no privilege."""

    def __init__(self, family: str = "nl80211") -> None:
        """Talk to `family`; its number differs from boot to boot and is looked up every time."""
        self._family = family

    def dump(self, command: int, index: int | None = None) -> bytes:
        """See Transport."""
        body = b"" if index is None else netlink.attribute(_ATTR_IFINDEX, struct.pack("=I", index))
        deadline = time.monotonic() + _REPLY_SECONDS
        try:
            with _open() as opened:
                family = _family_id(opened, self._family, deadline)
                return _ask(opened, _request(family, netlink.FLAG_DUMP, command, body), deadline)
        except TimeoutError as error:
            raise RadioError(
                f"the kernel did not answer within {_REPLY_SECONDS} s; "
                "if this lasts, the radio's driver hangs: look at `dmesg` and reboot"
            ) from error
        except RadioError:
            raise
        except OSError as error:
            raise RadioError(f"cannot ask the kernel over netlink: {error.strerror}") from error


class ReplayTransport:
    """Recorded replies in the kernel's place: for tests, and to look into a case from the field."""

    def __init__(self, replies: Mapping[int, bytes]) -> None:
        """Give the reply of `replies` to each command."""
        self._replies = dict(replies)

    def dump(self, command: int, index: int | None = None) -> bytes:
        """See Transport; the reply is the same for every `index`."""
        if command not in self._replies:
            raise RadioError(f"no reply to nl80211 command {command} ({index=}) was recorded")
        return self._replies[command]


def _open() -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC)
    for option in (_CAP_ACK, _EXT_ACK):
        opened.setsockopt(_SOL_NETLINK, option, 1)
    opened.bind((0, 0))
    return opened


def _family_id(opened: socket.socket, name: str, deadline: float) -> int:
    body = netlink.attribute(_ATTR_FAMILY_NAME, name.encode() + b"\0")
    reply = _ask(opened, _request(_CONTROLLER, 0, _GET_FAMILY, body), deadline)
    try:
        for message in netlink.messages(reply):
            netlink.raise_refusal(message)
            told = dict(netlink.attributes(message.raw[netlink.HEADER.size + 4 :]))
            if len(found := told.get(_ATTR_FAMILY_ID, b"")) == struct.calcsize("=H"):
                return int(struct.unpack("=H", found)[0])
    except netlink.RefusedError as error:
        if error.number != errno.ENOENT:
            raise
        raise RadioError(
            f"this kernel has no {name}: no Wi-Fi driver is loaded; "
            "check that the radio is plugged in and see `dmesg`"
        ) from error
    raise RadioError(f"the kernel did not tell the number of {name}")


def _request(family: int, flags: int, command: int, body: bytes) -> bytes:
    content = _GENERIC_HEADER.pack(command, 1, 0) + body
    length = netlink.HEADER.size + len(content)
    return netlink.HEADER.pack(length, family, flags | netlink.FLAG_REQUEST, 1, 0) + content


def _ask(opened: socket.socket, request: bytes, deadline: float) -> bytes:
    opened.settimeout(max(0.001, deadline - time.monotonic()))
    opened.send(request)
    reply = b""
    while True:
        opened.settimeout(max(0.001, deadline - time.monotonic()))
        received = opened.recv(_RECEIVE_BYTES)
        reply += received
        if any(message.is_last or not message.is_part for message in netlink.messages(received)):
            return reply
