"""What the installer is in the middle of, on disk, so that a power cut anywhere can be resumed.

This record is the only truth: the links `current` and `confirmed` are made to follow it.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from node.durable import replace_file
from node.install.errors import InstallStateError

Phase = Literal["idle", "flipping", "trial", "reverting"]
Release = Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")]  # a release's hash, or none
_STATE_BYTES_MAX = 64 * 1024


class State(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The installer's record.

    `confirmed` is the release that proved itself, `previous` the one before it, and `counter` the
    highest that ever proved itself. `candidate` is being started (flipping), or awaits its
    confirmation (trial) until `deadline_s` of the clock that runs since boot `boot`.
    """

    phase: Phase = "idle"
    confirmed: Release = ""
    previous: Release = ""
    counter: Annotated[int, Meta(ge=0, le=2**53)] = 0
    candidate: Release = ""
    candidate_counter: Annotated[int, Meta(ge=0, le=2**53)] = 0
    boot: Annotated[str, Meta(max_length=64)] = ""
    deadline_s: Annotated[float, Meta(ge=0)] = 0.0
    outcome: Annotated[str, Meta(max_length=2000)] = ""


def encode_state(state: State) -> bytes:
    """Return the bytes of the record."""
    return msgspec.json.format(msgspec.json.encode(state)) + b"\n"


def decode_state(text: bytes, *, where: str = "install.json") -> State:
    """Return the record in `text`. Raises InstallStateError."""
    try:
        state = msgspec.json.decode(text[:_STATE_BYTES_MAX], type=State)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InstallStateError(f"{where}: {error}; remove it and install a full bundle") from error
    if state.phase != "idle" and not state.candidate:
        raise InstallStateError(f"{where}: {state.phase}, but of what is not said; remove it")
    return state


def read_state(file: Path) -> State:
    """Return the record in `file`; a fresh one where there is none. Raises InstallStateError."""
    try:
        return decode_state(file.read_bytes(), where=str(file))
    except FileNotFoundError:
        return State()
    except OSError as error:
        raise InstallStateError(f"{file}: cannot be read: {error.strerror}") from error


def write_state(file: Path, state: State) -> None:
    """Replace the record, durably."""
    replace_file(file, encode_state(state))


def mark_of(file: Path) -> str:
    """Return what is another after each writing of the record; empty without one.

    It is no field of the record: earlier releases, which may have to take over, would refuse that.
    """
    try:
        return str(file.stat().st_mtime_ns)
    except FileNotFoundError:
        return ""
