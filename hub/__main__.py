"""The command simpul-hub: collects, serves the page in the demo, and checks its settings."""

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from hub.collector import collect
from hub.collector.address import broker_address
from hub.errors import SettingsError
from hub.notify import notify
from hub.serve import serve
from hub.settings import HubSettings
from hub.settings_file import load_settings, read_secret
from hub.store import open_database
from node.messages import SimpulError

_DEFAULT_FILE = Path("/etc/simpul/hub.toml")
_OK = 0
_FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 fine, 1 a stated problem, 2 wrong usage."""
    parsed = _parser().parse_args(arguments)
    # No time stamps: the journal has its own.
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        return _run(parsed)
    except SimpulError as error:
        print(f"simpul-hub: {error}", file=sys.stderr)  # noqa: T201 - the answer to a person
        return _FAILED


def _run(parsed: argparse.Namespace) -> int:
    if parsed.command == "check":
        check(load_settings(parsed.file))
        print(f"{parsed.file}: fine")  # noqa: T201 - the answer to a person
        return _OK
    settings = load_settings(parsed.config)
    stop = _stop_by_signal()
    if parsed.command == "collect":
        collect(settings, stop, ready=lambda: notify("READY=1"))
    else:
        serve(
            Path(settings.public.directory),
            address=settings.serve.address,
            port=settings.serve.port if parsed.port is None else parsed.port,
            stop=stop,
            ready=_tell_address,
        )
    return _OK


def check(settings: HubSettings) -> None:
    """Try all that can be tried without network and database. Raises SettingsError."""
    for url in settings.broker.urls:
        broker_address(url)
    open_database(
        settings.database.url, password=read_secret(settings.database.password_file)
    ).close()
    read_secret(settings.broker.password_file)
    for file in (
        settings.broker.ca_file,
        settings.broker.certificate_file,
        settings.broker.key_file,
    ):
        _check_readable(file)


def _check_readable(file: str) -> None:
    if file and not Path(file).is_file():
        raise SettingsError(f"{file}: no such file, but [broker] names it")


def _tell_address(url: str) -> None:
    print(url, flush=True)  # noqa: T201 - port 0 has to be told to whoever asked for it
    notify("READY=1")


def _stop_by_signal() -> threading.Event:
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        notify("STOPPING=1")
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return stop


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="simpul-hub", description="The city side of Simpul.", allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("collect", "keep what the nodes measure and write the public directory"),
        ("serve", "serve the public page (demo and development; nginx is for production)"),
    ):
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.add_argument(
            "--config", type=Path, default=_DEFAULT_FILE, help="settings (default: %(default)s)"
        )
        if name == "serve":
            command.add_argument("--port", type=int, help="TCP port; 0 picks a free one")
    text = "check a settings file; exit code 0 only when it can be used"
    command = commands.add_parser("check", help=text, description=text, allow_abbrev=False)
    command.add_argument("file", type=Path, metavar="FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())
