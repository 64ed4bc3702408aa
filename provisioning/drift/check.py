"""Has Ansible say what the playbook that sets nodes up would change on them; changes nothing."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from provisioning.drift.differences import NOBODY, Difference, Event, of_event
from provisioning.drift.errors import DriftError

PLAYBOOK_FILE = Path("playbooks/site.yml")
_SAID_CHARACTERS_MAX = 2000
# ansible-playbook(1): some hosts failed (2), some were unreachable (4), or both (6).
_ANSWERED = frozenset({0, 2, 4, 6})


class Play(Struct, frozen=True, kw_only=True):
    """Which playbook, for which inventory, as whom; `forks` bounds how many at once."""

    playbook: Path = PLAYBOOK_FILE
    inventory: Path
    identity: str = ""
    forks: int = 16


def check_nodes(play: Play, names: Sequence[str]) -> list[Difference]:
    """Return what differs on these nodes. Raises DriftError when nothing could be checked."""
    if not play.playbook.is_file():
        raise DriftError(f"{play.playbook}: no such file; run it where the project lies")
    line = [
        *(sys.executable, "-m", "ansible", "playbook", str(play.playbook), "--check", "--diff"),
        *("--inventory", str(play.inventory), "--limit", ",".join(names)),
        *("--forks", str(play.forks)),
    ]
    if play.identity:
        line += ["--private-key", play.identity]
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder, "notes")
        notes.touch(mode=0o600)
        environment = {
            **os.environ,
            "ANSIBLE_CALLBACK_PLUGINS": str(play.playbook.parent / "plugins/callback"),
            "ANSIBLE_CALLBACKS_ENABLED": "drift",
            "ANSIBLE_NOCOLOR": "1",
            "SIMPUL_DRIFT": str(notes),
        }
        done = subprocess.run(line, check=False, env=environment, capture_output=True, text=True)
        found = read_notes(notes.read_bytes().splitlines())
    # What it cannot read, such as a file of variables, ends it with 4 too, and nothing is noted.
    if done.returncode not in _ANSWERED or (done.returncode and not found):
        said = (done.stdout + done.stderr).strip()[-_SAID_CHARACTERS_MAX:]
        raise DriftError(f"{play.playbook} could not be checked: {said}")
    return found


def read_notes(lines: Iterable[bytes]) -> list[Difference]:
    """Return what the playbook's plugin noted; one that cannot be read is itself told."""
    return [_read_note(line) for line in lines]


def _read_note(line: bytes) -> Difference:
    try:
        return of_event(msgspec.json.decode(line, type=Event))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        words = f"a note of the check cannot be read, and what it says is missing here: {error}"
        return Difference(node=NOBODY, kind="settings", place="", words=words)
