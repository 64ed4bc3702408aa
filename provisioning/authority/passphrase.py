"""Gets the authority's passphrase from the terminal or a private file, never from arguments."""

import getpass
import os
import stat
import sys
from pathlib import Path

from provisioning.authority.errors import PassphraseError

LENGTH_MIN = 12
_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_passphrase(file: Path | None, *, new: bool = False) -> bytes:
    """Return the passphrase, the first line of `file`, or asked for at the terminal.

    A `new` one is asked for twice and must have LENGTH_MIN characters. Raises PassphraseError.
    """
    text = _from_file(file) if file else _from_terminal(new=new)
    if new and len(text) < LENGTH_MIN:
        raise PassphraseError(
            f"the passphrase has {len(text)} characters; choose one of at least {LENGTH_MIN}"
        )
    return text.encode()


def _from_file(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as lines:
            mode = stat.S_IMODE(os.fstat(lines.fileno()).st_mode)
            if mode & _OPEN_TO_OTHERS:
                raise PassphraseError(
                    f"{file}: others may read it (mode {mode:o}); run chmod 600 on it"
                )
            return lines.readline().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise PassphraseError(f"{file}: not text in UTF-8") from error
    except OSError as error:
        if isinstance(error, PassphraseError):
            raise
        raise PassphraseError(f"{file}: {error.strerror}") from error


def _from_terminal(*, new: bool) -> str:
    if not sys.stdin.isatty():
        raise PassphraseError("no terminal to ask at; name a file with --passphrase-file")
    try:
        text = getpass.getpass("Passphrase of the fleet authority: ")
        if new and getpass.getpass("Once more: ") != text:
            raise PassphraseError("the two passphrases differ; start again")
    except EOFError as error:
        raise PassphraseError("no passphrase was typed; start again") from error
    return text
