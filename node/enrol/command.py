"""The command `simpul-node enrol request|install`, which the station calls over SSH.

It takes no words of the caller's: sudo allows exactly these two lines. Secrets and papers pass by
standard input and output only.
"""

import sys
from typing import Literal

import msgspec

from node.enrol.errors import PapersError
from node.enrol.install import PAPERS_BYTES_MAX, install, read_papers, reload_sshd
from node.enrol.places import Places
from node.enrol.request import make_request


def run(step: Literal["request", "install"]) -> int:
    """Carry out one step; return 0. Raises EnrolError, PapersError."""
    if step == "request":
        answer = msgspec.json.encode(make_request(Places()))
    else:
        text = sys.stdin.buffer.read(PAPERS_BYTES_MAX + 1)
        if len(text) > PAPERS_BYTES_MAX:
            raise PapersError(f"more than {PAPERS_BYTES_MAX} bytes of papers; nothing was changed")
        answer = msgspec.json.encode(install(Places(), read_papers(text)))
        reload_sshd()
    print(answer.decode())  # noqa: T201 - to the station
    return 0
