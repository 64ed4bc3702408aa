"""The command `simpul-node enrol request|install`, which the station calls over SSH.

It takes no words of the caller's: sudo allows exactly these two lines. Secrets and papers pass by
standard input and output only.
"""

import argparse
import sys
from pathlib import Path

import msgspec

from node.enrol.errors import PapersError
from node.enrol.install import PAPERS_BYTES_MAX, install, read_papers, reload_sshd
from node.enrol.places import Places
from node.enrol.request import make_request


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments on the parser of `simpul-node enrol`."""
    parser.add_argument(
        "step",
        choices=("request", "install"),
        help="request: make the keys, print what is to be signed; install: read the papers.",
    )
    parser.add_argument(
        "--root", type=Path, default=Path("/"), help="Root of another system; sshd is left alone."
    )


def run(options: argparse.Namespace) -> int:
    """Carry out one step; return 0. Raises EnrolError, PapersError."""
    places = Places(options.root)
    if options.step == "request":
        print(msgspec.json.encode(make_request(places)).decode())  # noqa: T201 - to the station
        return 0
    text = sys.stdin.buffer.read(PAPERS_BYTES_MAX + 1)
    if len(text) > PAPERS_BYTES_MAX:
        raise PapersError(f"more than {PAPERS_BYTES_MAX} bytes of papers; nothing was installed")
    done = install(places, read_papers(text))
    if options.root == Path("/"):
        reload_sshd()
    print(msgspec.json.encode(done).decode())  # noqa: T201 - to the station
    return 0
