"""Tells before the agent starts whether it would run: `simpul-node check FILE`.

What a key allows by itself stands in `node.settings`; here is what only several keys together, or
the machine itself, can tell.
"""

import ipaddress
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from node.board.adapters import board_contradictions, check_board
from node.errors import SettingsError
from node.hotspot.access_point.plan import access_point_contradictions
from node.messages import SimpulError
from node.settings import NodeSettings, Uplink
from node.tls_files import ca_problems, certificate_problems, reason_of

_PORT_MAX = 65_535
_HOST_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")  # RFC 1123, section 2.1


def check(settings: NodeSettings) -> None:
    """Return when the agent would run with `settings` on this machine, as this user.

    Raises SettingsError with every problem found, one a line, each with its key and what to do.
    Nothing is left behind on the disk.
    """
    problems = [
        *contradictions(settings),
        *_state_directory_problems(Path(settings.node.state_directory)),
        *ca_problems(settings.uplink),
        *certificate_problems(settings.uplink),
        *_source_problems(settings),
    ]
    if problems:
        raise SettingsError("\n".join(problems))


def contradictions(settings: NodeSettings) -> list[str]:
    """Return what the keys of `settings` say against each other; reads nothing else."""
    uplink = settings.uplink
    return [
        *(problem for broker in uplink.brokers for problem in _broker_problems(broker)),
        *_tls_contradictions(uplink),
        *_backoff_contradictions(uplink),
        *board_contradictions(settings.board),
        *access_point_contradictions(settings.hotspot),
    ]


def _broker_problems(broker: str) -> Iterator[str]:
    where = f"uplink.brokers: {broker}:"
    try:
        url = urlsplit(broker)
        host = url.hostname or ""
        ipv6 = ipaddress.IPv6Address(host) if ":" in host else None
    except ValueError:
        yield f"{where} not an IPv6 address between the brackets"
        return
    if ipv6 is None and not all(_HOST_LABEL.fullmatch(label) for label in host.split(".")):
        yield f"{where} {host!r} is not a host name; write a name or an address"
    port = int(broker.rpartition(":")[2])
    if not 1 <= port <= _PORT_MAX:
        yield f"{where} port {port} does not exist; choose 1 to {_PORT_MAX}, for TLS mostly 8883"


def _tls_contradictions(uplink: Uplink) -> Iterator[str]:
    pair = {"certificate_file": uplink.certificate_file, "key_file": uplink.key_file}
    for given, missing in (("certificate_file", "key_file"), ("key_file", "certificate_file")):
        if pair[given] and not pair[missing]:
            yield f"uplink.{missing}: missing, though {given} is given; give both or neither"
    files = {"ca_file": uplink.ca_file, **pair}
    for key, file in files.items():
        if file and not file.startswith("/"):
            yield f"uplink.{key}: {file}: not an absolute path; begin it with /"
    if any(files.values()) and not any(each.startswith("mqtts:") for each in uplink.brokers):
        key = next(key for key, file in files.items() if file)
        yield f"uplink.{key}: never used, as no broker is reached by TLS; write mqtts://"


def _backoff_contradictions(uplink: Uplink) -> Iterator[str]:
    if uplink.backoff_max_seconds < uplink.backoff_min_seconds:
        yield (
            f"uplink.backoff_max_seconds: {uplink.backoff_max_seconds:g} is less than "
            f"backoff_min_seconds, {uplink.backoff_min_seconds:g}; raise it"
        )


def _state_directory_problems(directory: Path) -> Iterator[str]:
    where = "node.state_directory:"
    try:
        home = next(each for each in (directory, *directory.parents) if each.exists())
        if not home.is_dir():
            yield f"{where} {home} is not a directory; move it away or choose another path"
        elif home != directory and not os.access(home, os.W_OK | os.X_OK):
            yield f"{where} {directory} cannot be created, as this user may not write to {home}"
        elif home == directory:
            with tempfile.TemporaryFile(dir=directory) as trial:
                trial.write(b"simpul")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        yield f"{where} {directory}: cannot be written: {reason_of(error)}; give it to this user"


def _source_problems(settings: NodeSettings) -> Iterator[str]:
    checks: list[Callable[[], None]] = []
    if settings.camera.adapter != "none":
        from node.camera.check import check_camera  # noqa: PLC0415 - a node may have no camera

        checks.append(partial(check_camera, settings))
    if settings.hotspot.adapter != "none":
        from node.hotspot.source import check_hotspot  # noqa: PLC0415 - nor a hotspot

        checks.append(partial(check_hotspot, settings))
    if settings.board.adapter != "none":
        checks.append(partial(check_board, settings.board))
    for each in checks:
        try:
            each()
        except SimpulError as error:
            yield str(error)
