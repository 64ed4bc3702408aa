"""Has a person confirm what a camera sees, and keeps that picture as the node's reference."""

import hashlib
import secrets
import shlex
from pathlib import PurePosixPath

from rich.console import Console

from provisioning.enrol.show import is_right_view, picture
from provisioning.register import Register
from provisioning.remote.errors import RemoteError
from provisioning.update.link import Way, answer, files_of, opened

REFERENCE = PurePosixPath("/var/lib/simpul/view/reference.jpg")
_TIMEOUT_S = 60
_SAID_CHARACTERS_MAX = 500


def confirmed_view(node: str, still: bytes, way: Way, register: Register, console: Console) -> str:
    """Show a public, masked still (JPEG); on a yes keep it on the node, then in the register.

    Return what is to be told. Raises RemoteError for a no, UnreachableError, NodeError,
    RegisterError.
    """
    console.print(picture(still, console))
    console.print(node, markup=False)
    if not is_right_view(console):
        raise RemoteError(
            "tidak disetujui / not confirmed; turn the camera, then: simpul confirm-view " + node
        )
    keep_reference(way, still)
    named = hashlib.sha256(still).hexdigest()
    register.record_view(node, named)
    return f"arah kamera disetujui / view confirmed, sha256 {named}"


def keep_reference(way: Way, still: bytes) -> None:
    """Put the still where the node keeps its reference; a power cut leaves the old or the new one.

    Raises UnreachableError, NodeError, RemoteError.
    """
    part = REFERENCE.with_name(f".{secrets.token_hex(8)}")
    script = (
        f"sync {part} && mv {part} {REFERENCE} && sync {REFERENCE.parent}"
        f" && chown --reference={REFERENCE.parent.parent} {REFERENCE.parent} {REFERENCE}"
    )
    with opened(way) as connection:
        made = answer(connection, f"mkdir -p {REFERENCE.parent}", _TIMEOUT_S)
        if made.failed:
            raise RemoteError(f"{way.user} may not keep it: {made.stderr[-_SAID_CHARACTERS_MAX:]}")
        with files_of(connection) as files, files.open(str(part), "wb") as file:
            file.write(still)
        done = answer(connection, shlex.join(["sh", "-c", script]), _TIMEOUT_S)
    if done.failed:
        raise RemoteError(f"not kept: {done.stderr.strip()[-_SAID_CHARACTERS_MAX:]}")
