"""Is a bad link to another network: each IP packet is late, and some are lost, in both directions.

As netem of tc(8) does it, for kernels that have no netem: two TUN devices, one in this network and
one in a namespace of its own, and a thread that carries packets from one to the other. TCP above it
is the kernel's own and retransmits.
"""

import ctypes
import fcntl
import heapq
import os
import random
import secrets
import select
import struct
import subprocess
import threading
import time
from pathlib import Path
from typing import Self

_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_IFF_TUN_NO_PI = 0x1001
_CLONE_NEWNET = 0x40000000
_PACKET_BYTES = 2048
_LIMIT = 4000  # packets under way; more are lost, as in any queue


def bad_link_missing() -> str:
    """Return why there can be no such link here; empty when there can."""
    if os.geteuid() != 0:
        return "a network namespace needs root"
    return "" if Path("/dev/net/tun").exists() else "the kernel has no TUN"


class BadLink:
    """The link, within the `with` block; `far` is an address at its other end."""

    def __init__(self, *, loss: float, delay_s: float, seed: int = 0) -> None:
        """Lose this share of the packets and hold each for `delay_s`, one way."""
        name = secrets.token_hex(3)
        self.namespace = f"far-{name}"
        self.device = f"bad{name}"
        net = f"10.77.{secrets.randbelow(256)}"
        self.near, self.far = f"{net}.1", f"{net}.2"
        self.lost = self.carried = 0
        self._loss, self._delay_s = loss, delay_s
        self._draw = random.Random(seed)  # noqa: S311 - repeatable, no secret
        self._stop = threading.Event()
        self._ends: tuple[int, int] = (-1, -1)

    @property
    def within(self) -> tuple[str, ...]:
        """What stands before a command that is to run at the other end."""
        return ("ip", "netns", "exec", self.namespace)

    def __enter__(self) -> Self:
        _call("ip", "netns", "add", self.namespace)
        near = _tun(self.device)
        far = _tun_within(self.namespace, self.device)
        self._ends = (near, far)
        for prefix, address, peer in (
            ((), self.near, self.far),
            (self.within, self.far, self.near),
        ):
            words = ("address", "add", address, "peer", peer, "dev", self.device)
            _call(*prefix, "ip", *words)
            _call(*prefix, "ip", "link", "set", self.device, "up")
        _call(*self.within, "ip", "link", "set", "lo", "up")
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for end in self._ends:
            os.close(end)
        _call("ip", "netns", "del", self.namespace)

    def _carry(self) -> None:
        near, far = self._ends
        other = {near: far, far: near}
        queue: list[tuple[float, int, int, bytes]] = []
        number = 0
        while not self._stop.is_set():
            due_s = queue[0][0] - time.monotonic() if queue else 0.2
            for end in select.select([near, far], [], [], min(0.2, max(0.0, due_s)))[0]:
                packet = os.read(end, _PACKET_BYTES)
                if self._draw.random() < self._loss or len(queue) >= _LIMIT:
                    self.lost += 1
                    continue
                number += 1
                heapq.heappush(
                    queue, (time.monotonic() + self._delay_s, number, other[end], packet)
                )
            while queue and queue[0][0] <= time.monotonic():
                _, _, end, packet = heapq.heappop(queue)
                os.write(end, packet)
                self.carried += 1


def _tun(name: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN_NO_PI))
    return descriptor


def _tun_within(namespace: str, name: str) -> int:
    """Make a TUN device in a network namespace: a thread enters it, and ends there (setns(2))."""
    made: list[int] = []

    def enter() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/run/netns", namespace).open("rb") as file:
            if libc.setns(file.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        made.append(_tun(name))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    return made[0]


def _call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
