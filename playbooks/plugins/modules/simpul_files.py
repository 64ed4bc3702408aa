"""Lays files and folders on a machine, many in one task: every task costs a node a start of Python.

A board of the smallest kind takes a second for each. The plugin of the same name in ../action reads
what lies on the controller.
"""

import base64
import grp
import hashlib
import os
import pwd
import stat
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: simpul_files
short_description: lays files and folders, many at once
description:
  - Brings each file and each folder to what is given, in the order in which they are given. Folders
    on the way to them that are missing are made as root's, mode 0755.
  - A file replaces the old one as a whole, and is on the disk before it does.
  - What runs by them may have to take them up. With O(pending), a play that is cut off before it
    has seen to that goes on there.
options:
  files:
    description:
      - Each has a C(path) and a C(mode), and may have C(owner) and C(group), else root.
      - C(content) is a file's text, C(src) a file on the controller; without both it is a folder.
      - C(validate) is a command that judges a new file before it replaces the old one; C(%s) is
        the new one.
      - C(secret) has no difference of what is in it shown.
    type: list
    elements: dict
    default: []
  pending:
    description:
      - Name of what has to be taken up. Before the first change this is noted on the machine. A
        note that an earlier play left is a change. Who has taken it up removes the note.
    type: str
  begin:
    description: Note it even when no file changes, for what else is going to change.
    type: bool
    default: false
"""
RETURN = """
laid:
  description: what was changed, or was left as a note; of each its C(path), and in C(diff) how.
  type: list
  elements: dict
"""
_PENDING = "/var/lib/misc/simpul-pending-{}"
_NOTE = b"Not taken up by what runs. Play playbooks/site.yml again, or hub.yml on the hub.\n"
_FOLDER_MODE = 0o755
_ROOT = ("root", "root")
_ENTRY = {
    "path": {"type": "path", "required": True},
    "base64": {"type": "str", "no_log": True},  # else the machine's journal would hold it
    "mode": {"type": "str", "required": True},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "validate": {"type": "list", "elements": "str"},
    "secret": {"type": "bool", "default": False},
}
Entry = dict[str, Any]


class _Standing(NamedTuple):
    """What is, or is to be, at a path; a folder has no content."""

    owner: str
    group: str
    mode: str
    content: bytes | None


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "list", "elements": "dict", "options": _ENTRY, "default": []},
            "pending": {"type": "str"},
            "begin": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        said = _lay(module)
    except (OSError, LookupError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**said)


def _lay(module: AnsibleModule) -> dict[str, Any]:
    pending = module.params["pending"]
    note = Path(_PENDING.format(pending)) if pending else None
    left = note is not None and note.exists()
    found = [(entry, _wanted(entry), _standing(entry)) for entry in module.params["files"]]
    differing = [each for each in found if each[1] != each[2]]
    if not module.check_mode:
        if note and not left and (differing or module.params["begin"]):
            _write(module, note, _Standing(*_ROOT, "0644", _NOTE), None)
        for entry, wanted, before in differing:
            _apply(module, entry, wanted, before)
    laid: list[dict[str, Any]] = [
        {"path": entry["path"], "changed": True} for entry, _, _ in differing
    ]
    if module._diff:  # noqa: SLF001 - Ansible's modules have no other way to ask
        for each, (entry, wanted, before) in zip(laid, differing, strict=True):
            each["diff"] = [*_differences(entry, wanted, before)]
    diff = [part for each in laid for part in each.get("diff", ())]
    if left:
        laid.append({"path": str(note), "changed": True})
    return {"changed": bool(differing) or left, "laid": laid, "diff": diff}


def _wanted(entry: Entry) -> _Standing:
    content = None if entry["base64"] is None else base64.b64decode(entry["base64"])
    mode = int(entry["mode"], 8)
    return _Standing(entry["owner"], entry["group"], f"{mode:04o}", content)


def _standing(entry: Entry) -> _Standing | None:
    path = Path(entry["path"])
    is_folder = entry["base64"] is None
    if is_folder and path.is_symlink() and _may_be_swapped(path):
        raise FileExistsError(
            f"{path} is a link, and not only root could put it there; move it away, and play again"
        )
    try:
        # A folder may be a link to where there is room; a file of ours is a file.
        found = path.stat() if is_folder else path.lstat()
    except FileNotFoundError:
        return None
    if is_folder and not stat.S_ISDIR(found.st_mode):
        raise FileExistsError(f"{path} is no folder; move it away, and play again")
    if not is_folder and stat.S_ISDIR(found.st_mode):
        raise FileExistsError(f"{path} is a folder; move it away, and play again")
    if not is_folder and not stat.S_ISREG(found.st_mode):
        return None
    owner, group = _name(pwd.getpwuid, found.st_uid), _name(grp.getgrgid, found.st_gid)
    content = None if is_folder else path.read_bytes()
    return _Standing(owner, group, f"{stat.S_IMODE(found.st_mode):04o}", content)


def _name(look_up: Any, number: int) -> str:  # noqa: ANN401 - pwd's or grp's own
    try:
        return str(look_up(number)[0])
    except KeyError:
        return str(number)


def _apply(
    module: AnsibleModule, entry: Entry, wanted: _Standing, before: _Standing | None
) -> None:
    path = Path(entry["path"])
    try:
        if wanted.content is None:
            _make_folder(path.resolve())  # a link may lead to where nothing is yet
        elif before is None or before.content != wanted.content:
            _make_folder(path.parent)
            _write(module, path, wanted, entry["validate"])
            return
        _own_at(path, wanted)
    except OSError as error:
        raise OSError(f"{path}: {error.strerror}") from error


def _may_be_swapped(path: Path) -> bool:
    """Tell whether somebody else than root, or who plays this, may put something else there."""
    try:
        folder = path.parent.stat()
    except FileNotFoundError:
        return False
    is_open = bool(folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    return is_open or folder.st_uid not in {0, os.geteuid()}


def _make_folder(path: Path) -> None:
    if path.is_dir():
        return
    _make_folder(path.parent)
    path.mkdir()
    path.chmod(_FOLDER_MODE)  # whatever the umask


def _write(
    module: AnsibleModule, path: Path, wanted: _Standing, validate: list[str] | None
) -> None:
    # Beside it, where a rename is one step; a dot hides it from those who read the whole folder.
    number, name = tempfile.mkstemp(prefix=".simpul-", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(wanted.content or b"")
            file.flush()
            _own(number, wanted)  # not by its name: the folder may be somebody else's
            os.fsync(number)
        if validate:
            _judge(module, path, [word.replace("%s", name) for word in validate])
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)


def _own_at(path: Path, wanted: _Standing) -> None:
    # Held first: else a link could be put there in between, and what it names be given away.
    flags = os.O_RDONLY | os.O_NONBLOCK
    if wanted.content is not None or _may_be_swapped(path):
        flags |= os.O_NOFOLLOW
    number = os.open(path, flags)
    try:
        _own(number, wanted)
    finally:
        os.close(number)


def _own(file: int, wanted: _Standing) -> None:
    os.fchown(file, _id(pwd.getpwnam, wanted.owner), _id(grp.getgrnam, wanted.group))
    os.fchmod(file, int(wanted.mode, 8))  # after fchown, which takes setuid away


def _id(look_up: Any, name: str) -> int:  # noqa: ANN401 - pwd's or grp's own
    try:
        return int(look_up(name)[2])
    except KeyError as error:
        raise LookupError(f"this machine has no user or group {name}") from error


def _judge(module: AnsibleModule, path: Path, command: list[str]) -> None:
    status, out, err = module.run_command(command)
    if status != 0:
        raise ValueError(f"{path}: {command[0]} refuses what is new: {(err or out).strip()}")


def _differences(entry: Entry, wanted: _Standing, before: _Standing | None) -> list[dict[str, str]]:
    parts = []
    old = before.content if before else None
    if wanted.content != old:
        sides = ["", "(its content is not shown)\n"]
        parts.append(sides if entry["secret"] else [_text(old), _text(wanted.content)])
    if before is None and wanted.content is None:
        parts.append(["", _attributes(wanted)])
    if before is not None and before[:3] != wanted[:3]:
        parts.append([_attributes(before), _attributes(wanted)])
    headers = {"before_header": entry["path"], "after_header": entry["path"]}
    return [{**headers, "before": sides[0], "after": sides[1]} for sides in parts]


def _text(content: bytes | None) -> str:
    try:
        return (content or b"").decode()
    except UnicodeDecodeError:
        return f"(no text; SHA-256 {hashlib.sha256(content or b'').hexdigest()})\n"


def _attributes(standing: _Standing) -> str:
    return f"owner {standing.owner}\ngroup {standing.group}\nmode {standing.mode}\n"


if __name__ == "__main__":
    main()
