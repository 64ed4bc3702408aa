"""Reads hub.toml and says of a mistake what is wrong, where, and what to do."""

import re
import stat
import tomllib
from pathlib import Path

import msgspec

from hub.errors import SettingsError
from hub.settings import HubSettings

_PLACE = re.compile(r" - at `\$\.?(?P<key>[^`]*)`$")
_FIELD = re.compile(r"^Object (?P<what>contains unknown|missing required) field `(?P<key>[^`]*)`")
_OPEN_TO_OTHERS = stat.S_IRWXO


def load_settings(file: Path) -> HubSettings:
    """Return the settings in `file`.

    Raises SettingsError naming file and key when it cannot be read or is not valid.
    """
    return parse_settings(_read(file), file=str(file))


def parse_settings(text: str, *, file: str = "hub.toml") -> HubSettings:
    """Return the settings in `text` (TOML 1.0). Raises SettingsError; `file` is for its message."""
    try:
        return msgspec.convert(tomllib.loads(text), HubSettings)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: not valid TOML: {error}") from error
    except RecursionError as error:
        raise SettingsError(f"{file}: nested too deeply to be settings") from error
    except msgspec.ValidationError as error:
        raise SettingsError(f"{file}: {_explain(str(error))}") from error


def read_secret(file: str) -> str:
    """Return the password in `file`, without its line end; "" when no file is named.

    Raises SettingsError when it cannot be read, is empty or is open to every user.
    """
    if not file:
        return ""
    path = Path(file)
    secret = _read(path).removesuffix("\n")
    if path.stat().st_mode & _OPEN_TO_OTHERS:
        raise SettingsError(f"{file}: every user may read this password; run chmod o-rwx on it")
    if not secret or "\n" in secret:
        raise SettingsError(f"{file}: must hold the password on its only line")
    return secret


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{file}: byte {error.start} is not UTF-8; save it as UTF-8 text"
        ) from error


def _explain(problem: str) -> str:
    place = _PLACE.search(problem)
    table = place["key"] if place else ""
    what = _PLACE.sub("", problem)
    field = _FIELD.match(what)
    if field is None:
        return f"{table or 'file'}: {what}"
    key = f"{table}.{field['key']}" if table else field["key"]
    if field["what"] == "missing required":
        return f"{key}: this key is missing; add it"
    return f"{key}: this key is not known; check its spelling"
