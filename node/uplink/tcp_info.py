"""Reads the kernel's own view of a connection, so that no probe costs the uplink anything."""

import socket
import struct

from node.uplink.link import LinkQuality

# Offsets in struct tcp_info, <linux/tcp.h>; the kernel only ever appends to it.
_RTT_MICROSECONDS_OFFSET = 68
_TOTAL_RETRANS_OFFSET = 100
_SEGS_OUT_OFFSET = 136
_SIZE_BYTES = 232
_MICROSECONDS = 1e6


def read_quality(connection: socket.socket) -> LinkQuality:
    """Return the quality of a TCP connection (tcp(7), TCP_INFO); empty where there is none."""
    option = getattr(socket, "TCP_INFO", None)
    if option is None:
        return LinkQuality()
    try:
        return parse_tcp_info(connection.getsockopt(socket.IPPROTO_TCP, option, _SIZE_BYTES))
    except OSError:
        return LinkQuality()


def parse_tcp_info(info: bytes) -> LinkQuality:
    """Return the quality out of a struct tcp_info; older, shorter ones give less."""
    rtt_microseconds = _uint32(info, _RTT_MICROSECONDS_OFFSET)
    retransmitted = _uint32(info, _TOTAL_RETRANS_OFFSET)
    sent = _uint32(info, _SEGS_OUT_OFFSET)
    return LinkQuality(
        round_trip_seconds=rtt_microseconds / _MICROSECONDS if rtt_microseconds else None,
        loss_ratio=round(retransmitted / sent, 6) if sent and retransmitted is not None else None,
    )


def _uint32(info: bytes, offset: int) -> int | None:
    if len(info) < offset + 4:
        return None
    return int(struct.unpack_from("=I", info, offset)[0])
