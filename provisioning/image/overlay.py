"""Packs what a layer copies over the root, as a tar that says nothing of the building machine.

Everything belongs to root; modes are 0644, or 0755 where the file may be executed, or what the
layer says; times are the flavour's epoch.
"""

import io
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

from provisioning.image.errors import DefinitionError
from provisioning.image.stack import Placed

_DIRECTORY_MODE = 0o755


def write_overlay(
    files: Mapping[str, tuple[int, bytes]],
    out: Path,
    *,
    epoch_seconds: int,
    further: Path | None = None,
) -> None:
    """Write `files` to the tar `out`, and the tree `further` after them."""
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as tar:
        written: set[str] = set()
        for path, (mode, content) in sorted(files.items()):
            _add_parents(tar, path, written, epoch_seconds)
            _add_file(tar, path, mode, content, epoch_seconds)
        if further is not None:
            for file in sorted(further.rglob("*")):
                path = file.relative_to(further).as_posix()
                _add_parents(tar, path, written, epoch_seconds)
                _add_found(tar, file, path, written, epoch_seconds)


def overlay_files(placed: Placed, project: Path) -> Mapping[str, tuple[int, bytes]]:
    """Return path -> (mode, content) of the layer's files, with variables in their places.

    `project` is the project's tree. Raises DefinitionError where a file is missing.
    """
    layer, folder = placed.layer, placed.folder / "files"
    found = {
        file.relative_to(folder).as_posix(): file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }
    found |= {path: project / origin for path, origin in layer.project_files.items()}
    files = {}
    for path, file in found.items():
        try:
            content, executable = file.read_bytes(), file.stat().st_mode & 0o100
        except OSError as error:
            raise DefinitionError(f"{file}: cannot be read: {error.strerror}") from error
        mode = int(layer.modes.get(path, "0755" if executable else "0644"), 8)
        if path in layer.templates:
            content = _filled(content.decode("utf-8"), placed.values).encode()
        files[path] = (mode, content)
    return files


def _filled(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"@([a-z][a-z0-9_]*)@", lambda found: values[found[1]], text)


def _add_parents(tar: tarfile.TarFile, path: str, written: set[str], epoch: int) -> None:
    parts = path.split("/")[:-1]
    for count in range(1, len(parts) + 1):
        parent = "/".join(parts[:count])
        if parent not in written:
            written.add(parent)
            entry = _entry(parent, _DIRECTORY_MODE, epoch)
            entry.type = tarfile.DIRTYPE
            tar.addfile(entry)


def _add_file(tar: tarfile.TarFile, path: str, mode: int, content: bytes, epoch: int) -> None:
    entry = _entry(path, mode, epoch)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _add_found(tar: tarfile.TarFile, file: Path, path: str, written: set[str], epoch: int) -> None:
    if file.is_symlink():
        entry = _entry(path, 0o777, epoch)
        entry.type, entry.linkname = tarfile.SYMTYPE, str(file.readlink())
        tar.addfile(entry)
    elif file.is_dir():
        _add_parents(tar, f"{path}/", written, epoch)
    else:
        mode = 0o755 if file.stat().st_mode & 0o100 else 0o644
        _add_file(tar, path, mode, file.read_bytes(), epoch)


def _entry(path: str, mode: int, epoch: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(f"./{path}")
    entry.mode, entry.mtime = mode, epoch
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry
