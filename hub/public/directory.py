"""Writes the public directory so that a reader sees a whole file, old or new, never a half."""

from pathlib import Path

from hub.errors import PublicDirectoryError

CAMERAS_FILE = "cameras.json"
STILLS = "stills"


class PublicDirectory:
    """cameras.json and stills/<node>.jpg below one directory.

    Every method raises PublicDirectoryError when the disk does not let it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def has_cameras(self) -> bool:
        """Whether an earlier run left a cameras.json."""
        return (self._root / CAMERAS_FILE).exists()

    def write_cameras(self, content: bytes) -> None:
        """Replace cameras.json."""
        self._replace(self._root / CAMERAS_FILE, content)

    def write_still(self, node: str, jpeg: bytes) -> None:
        """Replace the still of a node; `node` is a name that the topic's pattern let through."""
        self._replace(self._root / STILLS / f"{node}.jpg", jpeg)

    def remove_still(self, node: str) -> None:
        """Remove the still of a node, if there is one."""
        try:
            (self._root / STILLS / f"{node}.jpg").unlink(missing_ok=True)
        except OSError as error:
            raise PublicDirectoryError(f"{self._root}: {error.strerror}") from error

    def stills(self) -> set[str]:
        """Return the nodes whose stills are there."""
        try:
            return {file.stem for file in (self._root / STILLS).glob("*.jpg")}
        except OSError as error:
            raise PublicDirectoryError(f"{self._root}: {error.strerror}") from error

    def _replace(self, file: Path, content: bytes) -> None:
        fresh = file.with_name(f".{file.name}.new")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(content)
            fresh.chmod(0o644)  # the web server is another user
            fresh.replace(file)
        except OSError as error:
            raise PublicDirectoryError(
                f"{file} cannot be written: {error.strerror}; check public.directory"
            ) from error
