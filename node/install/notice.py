"""Words what a controller and a node's follower say to each other over the broker; no I/O.

A notice says what to do, not what to believe: a release is believed by its signatures alone.
"""

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from node.install.errors import InstallError
from node.install.state import Release
from node.messages import NODE_NAME_PATTERN

_BYTES_MAX = 16_384
_SECONDS_MAX = 86_400.0
Seconds = Annotated[float, Meta(ge=0, le=_SECONDS_MAX)]
Id = Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]


class Notice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one node is to do with which release; the list is closed. Times in seconds."""

    id: Id
    do: Literal["status", "install", "confirm", "rollback"]
    release: Release = ""
    url: Annotated[str, Meta(pattern="^(https?://[!-~]+)?$", max_length=2000)] = ""
    confirm_within_s: Seconds = 0.0
    soak_s: Seconds = 0.0


class _Named(Struct):
    id: Id


class Report(Struct, frozen=True, kw_only=True):
    """What the node's installer answered to the notice `id`: its JSON, or why there is none.

    `replaced`: another release runs now than before; the follower starts anew after this.
    """

    id: Id
    said: str = ""
    problem: str = ""
    replaced: bool = False


def notice_topic(node: str) -> str:
    """Return where the latest notice for `node` is retained; operators alone may write there."""
    return f"simpul/release/{node}/notice"


def report_topic(node: str) -> str:
    """Return where `node` alone reports; "+" to hear every node."""
    return f"simpul/release/{node}/report"


def decode_notice(payload: bytes) -> Notice:
    """Return the notice. Raises InstallError for what is none."""
    if len(payload) > _BYTES_MAX:
        raise InstallError(f"a notice of {len(payload)} bytes; at most {_BYTES_MAX}")
    try:
        notice = msgspec.json.decode(payload, type=Notice)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InstallError(f"no notice: {error}") from error
    if notice.do == "install" and not (notice.url and notice.release):
        raise InstallError("a notice to install names no release, or no URL")
    return notice


def id_of(payload: bytes) -> str:
    """Return the id of what was refused as a notice, so that who waits is told; empty without."""
    if len(payload) > _BYTES_MAX:
        return ""
    try:
        return msgspec.json.decode(payload, type=_Named).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


def words_of(notice: Notice) -> list[str]:
    """Return what `simpul-node install` is called with."""
    wishes = [f"--confirm-within={notice.confirm_within_s:g}", f"--soak={notice.soak_s:g}"]
    expected = [f"--expect={notice.release}"] if notice.release else []
    words = {
        "status": ["status"],
        "install": [notice.url, *expected, *wishes],
        "confirm": ["confirm", notice.release],
        "rollback": ["rollback", "--confirm-within=0", *expected],
    }
    return [*words[notice.do], "--json"]


def decode_report(topic: str, payload: bytes) -> tuple[str, Report] | None:
    """Return (node, report), or None for what is none."""
    node = topic.removeprefix("simpul/release/").removesuffix("/report")
    if not re.fullmatch(NODE_NAME_PATTERN, node):
        return None
    try:
        return node, msgspec.json.decode(payload, type=Report)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
