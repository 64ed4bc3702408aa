"""Tells systemd how the service is, sd_notify(3)."""

import os
import socket


def notify(state: str) -> None:
    """Send `state`, such as "READY=1"; does nothing outside of systemd."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket, unix(7)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            return  # systemd itself has the last word; the service works without it
