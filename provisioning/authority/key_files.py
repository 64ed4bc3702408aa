"""Lays new signing keys into their folder: each under a name of its own, none over another.

A key and its row in the register come together or not at all. Between the two there may be a power
cut; what it leaves is told from the keys of another register by the second, hidden name that a key
has while it is made. Nothing that might be somebody's key is ever deleted.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from node.durable import fsync_directory
from provisioning.authority.errors import AuthorityError
from provisioning.authority.files import write_beside

_MARK_DIGITS = 12


class NewKeys:
    """Keys that are on the disk under hidden names only, until `settle`."""

    def __init__(self, folder: Path, register: Path) -> None:
        """Lay keys into `folder`, for the register `register`."""
        self._folder = folder
        self._register = register
        self._hidden: dict[Path, Path] = {}
        self.settled = False

    def lay(self, name: str, secret: bytes) -> None:
        """Write a key to the disk, under a hidden name yet. Raises AuthorityError."""
        file = self._folder / name
        with _told(file):
            self._hidden[file] = write_beside(file, secret, mark=f"{self._mark}.")

    def settle(self) -> None:
        """Give every key its name; call it when the register has the rows, before they count.

        Raises AuthorityError where a name is taken; then none is given.
        """
        for file in self._hidden:
            self._make_room(file)
        with ExitStack() as undo:
            for file, hidden in self._hidden.items():
                with _told(file):
                    try:
                        os.link(hidden, file)
                    except FileExistsError as error:
                        raise self._taken(file) from error
                undo.callback(file.unlink)
            with _told(self._folder):
                fsync_directory(self._folder)
            undo.pop_all()
        self.settled = True

    def tidy(self) -> None:
        """Take the hidden names away."""
        with _told(self._folder):
            for hidden in self._hidden.values():
                hidden.unlink(missing_ok=True)
            fsync_directory(self._folder)

    def abandon(self) -> None:
        """Leave nothing of keys that were not settled."""
        if not self.settled:
            self.tidy()

    @property
    def _mark(self) -> str:
        """What tells the hidden names of this register from those of others in one folder."""
        # Relative, so that an office's folder may be moved.
        place = os.path.relpath(self._register.resolve(), self._folder.resolve())
        return hashlib.sha256(os.fsencode(place)).hexdigest()[:_MARK_DIGITS]

    def _make_room(self, file: Path) -> None:
        """Set a key aside that a making cut short has left, and refuse to touch any other.

        A key with a hidden name of this register had no row in it when the making ended: nothing
        was ever signed by it.
        """
        if not file.exists():
            return
        with _told(file):
            for hidden in self._folder.glob(f".{file.name}.{self._mark}.*"):
                if hidden.samefile(file):
                    file.unlink()  # its hidden name is left
                    hidden.rename(file.with_name(f"{file.name}.unused-{hidden.suffix[1:]}"))
                    return
        raise self._taken(file)

    def _taken(self, file: Path) -> AuthorityError:
        return AuthorityError(
            f"{file} exists; bring back its register, for {self._register} does not know this key."
            " If that is lost for good, move the key elsewhere; never delete it"
        )


@contextmanager
def new_keys(folder: Path, secrets: Mapping[str, bytes], register: Path) -> Iterator[NewKeys]:
    """Lay the locked keys `secrets` (name -> content) into `folder`; the context settles them.

    After an error before `settle` nothing is left of them. After a later one nobody can tell
    whether the register took their rows, so that they stay, and the next making sees which it was.
    Raises AuthorityError.
    """
    keys = NewKeys(folder, register)
    with ExitStack() as undo:
        undo.callback(keys.abandon)
        for name, secret in secrets.items():
            keys.lay(name, secret)
        yield keys
        undo.pop_all()
    keys.tidy()


@contextmanager
def _told(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AuthorityError(f"{file}: {error.strerror}; may you write there?") from error
