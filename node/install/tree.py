"""Lays a verified release down as a directory of its own, complete or not at all."""

import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from node.durable import (
    DIRECTORY_MODE,
    fsync_directory,
    make_directory,
    replace_file,
    write_new,
)
from node.install.bundle import Bundle, unpack_object
from node.install.errors import BundleError, InstallError
from node.install.manifest import MANIFEST_NAME, File, Manifest, decode_manifest, release_hash
from node.install.places import Places
from node.install.space import check_space

_CHUNK_BYTES = 1 << 20
_PARTIAL = ".partial-"
_RELEASE_NAME = re.compile("[0-9a-f]{64}")


def lay_tree(bundle: Bundle, places: Places) -> Path:
    """Unpack `bundle` as `releases/<hash>` with every byte on the medium; return that directory.

    Files an installed release already has are taken from there, after their hash was checked. A
    release that is there already and is whole is left as it is. Raises BundleError, InstallError.
    """
    name = release_hash(bundle.manifest_text)
    final = places.releases / name
    sweep(places)
    if final.is_dir():
        if not broken_files(final):
            _fsync_above(places)  # its name may not be on the medium yet
            return final
        set_aside(final)
        sweep(places)
    make_directory(places.releases)
    at_hand = _at_hand(bundle, places, {each.sha256 for each in bundle.manifest.files})
    _check_space(bundle, at_hand, places)
    partial = places.releases / f"{_PARTIAL}{name}"
    partial.mkdir()
    try:
        _fill(partial, bundle, at_hand)
        write_new(partial / MANIFEST_NAME, (bundle.manifest_text,), 0o644)
        for name_of_directory, _, _ in os.walk(partial, topdown=False):
            directory = Path(name_of_directory)
            directory.chmod(DIRECTORY_MODE)
            fsync_directory(directory)
        partial.rename(final)
    except OSError as error:
        raise InstallError(f"{error.filename or partial}: {error.strerror}; nothing changed") from (
            error
        )
    finally:
        sweep(places)
    _fsync_above(places)
    return final


def mend_tree(bundle: Bundle, places: Places) -> list[str]:
    """Give an installed release its damaged files anew, one by one; return their paths.

    The agent runs from it, and a power cut may come: so no file is ever missing. Raises
    BundleError, InstallError.
    """
    release = places.releases / release_hash(bundle.manifest_text)
    try:
        if (broken := broken_files(release)) == [MANIFEST_NAME]:
            make_directory(release)
            replace_file(release / MANIFEST_NAME, bundle.manifest_text)
            broken += broken_files(release)
        entries = [each for each in bundle.manifest.files if each.path in broken]
        at_hand = _at_hand(bundle, places, {each.sha256 for each in entries})
        for directory in _directories(release, bundle.manifest):
            make_directory(directory)
            directory.chmod(DIRECTORY_MODE)
        for each in entries:
            file = release / each.path
            beside = file.with_name(f".{file.name}.new")
            beside.unlink(missing_ok=True)
            _lay(beside, each, bundle, at_hand)
            beside.replace(file)
            fsync_directory(file.parent)
    except OSError as error:
        raise InstallError(f"{error.filename or release}: {error.strerror}; call it again") from (
            error
        )
    return broken


def set_aside(release: Path) -> None:
    """Take an installed release its name, so that nothing takes it for complete any more.

    One that came with the card's image cannot be renamed (overlayfs answers EXDEV for a folder of
    its lower layer); it is no release any more without its manifest, and is removed right away.
    """
    try:
        release.rename(release.with_name(f"{_PARTIAL}{release.name}"))
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        (release / MANIFEST_NAME).unlink(missing_ok=True)
        fsync_directory(release)
        shutil.rmtree(release)


def _fsync_above(places: Places) -> None:
    directories = [places.releases, places.home]
    if not places.home.is_mount():  # else what is above was not written to; it may be read-only
        directories.append(places.home.parent)
    for directory in directories:
        fsync_directory(directory)


def sweep(places: Places) -> None:
    """Remove what an interrupted installation left half unpacked."""
    for each in places.releases.glob(f"{_PARTIAL}*"):
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


def broken_files(release: Path) -> list[str]:
    """Return what of an installed release is not as its manifest says; reads every file.

    That includes modes: the agent runs as a user of its own.
    """
    try:
        text = (release / MANIFEST_NAME).read_bytes()
    except OSError:
        return [MANIFEST_NAME]
    if release_hash(text) != release.name:
        return [MANIFEST_NAME]
    manifest = decode_manifest(text)
    directories = [
        str(each.relative_to(release))
        for each in _directories(release, manifest)
        if not _has_mode(each, DIRECTORY_MODE)
    ]
    files = [each.path for each in manifest.files if not _is_whole(release / each.path, each)]
    return directories + files


def _directories(release: Path, manifest: Manifest) -> list[Path]:
    """Return the folders that a release is made of, each after the one it lies in."""
    found = {release}
    for each in manifest.files:
        found.update((release / each.path).parents[: each.path.count("/")])
    return sorted(found)


def _has_mode(path: Path, mode: int) -> bool:
    try:
        return stat.S_IMODE(path.lstat().st_mode) == mode
    except OSError:
        return False


def _is_whole(file: Path, entry: File) -> bool:
    if entry.link:
        return file.is_symlink() and str(file.readlink()) == entry.link
    try:
        return (
            not file.is_symlink() and _has_mode(file, entry.mode) and _sha256(file) == entry.sha256
        )
    except OSError:
        return False


def _fill(partial: Path, bundle: Bundle, at_hand: Mapping[str, Path]) -> None:
    for each in bundle.manifest.files:
        file = partial / each.path
        file.parent.mkdir(parents=True, exist_ok=True)
        _lay(file, each, bundle, at_hand)


def _lay(file: Path, entry: File, bundle: Bundle, at_hand: Mapping[str, Path]) -> None:
    if entry.link:
        file.symlink_to(entry.link)
    elif entry.sha256 in bundle.offsets:
        write_new(file, unpack_object(bundle, entry.sha256, entry.size_bytes), entry.mode)
    else:
        _take(at_hand[entry.sha256], file, entry)


def _take(source: Path, file: Path, entry: File) -> None:
    """Link to the same file of an earlier release, or copy it where its mode is another."""
    if _sha256(source) != entry.sha256:
        raise InstallError(f"{source}: damaged on this node; install the full bundle instead")
    if source.stat().st_mode & 0o777 == entry.mode:
        os.link(source, file, follow_symlinks=False)
    else:
        write_new(file, _pieces(source), entry.mode)


def _at_hand(bundle: Bundle, places: Places, wanted: set[str]) -> dict[str, Path]:
    """Return where what is `wanted` and the bundle lacks lies on this node: SHA-256 -> path."""
    missing = wanted - {"", *bundle.offsets}
    found: dict[str, Path] = {}
    for release in installed(places):
        if not missing:
            break
        try:
            manifest = decode_manifest((release / MANIFEST_NAME).read_bytes())
        except (OSError, BundleError):
            continue
        for each in manifest.files:
            if each.sha256 in missing:
                found[each.sha256] = release / each.path
                missing.discard(each.sha256)
    if missing:
        raise BundleError(
            f"{bundle.file}: {len(missing)} files are neither in it nor on this node; "
            "install the full bundle instead"
        )
    return found


def releases_in(places: Places) -> list[Path]:
    """Return the folders that are releases by their name; what else lies there is not ours."""
    return sorted(
        each
        for each in places.releases.glob("*")
        if _RELEASE_NAME.fullmatch(each.name) and each.is_dir() and not each.is_symlink()
    )


def installed(places: Places) -> list[Path]:
    """Return the releases that are complete on this node."""
    return [each for each in releases_in(places) if (each / MANIFEST_NAME).is_file()]


def _check_space(bundle: Bundle, at_hand: Mapping[str, Path], places: Places) -> None:
    block_bytes = os.statvfs(places.releases).f_frsize
    new = [each for each in bundle.manifest.files if each.sha256 not in at_hand]
    check_space(places.releases, sum(each.size_bytes + block_bytes for each in new))


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    for piece in _pieces(file):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while piece := stream.read(_CHUNK_BYTES):
            yield piece
