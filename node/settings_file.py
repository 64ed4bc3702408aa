"""Reads node.toml and says of a mistake what is wrong, where, and what to do."""

import re
import tomllib
from pathlib import Path

import msgspec

from node.errors import SettingsError
from node.settings import NodeSettings

_AT = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<key>[^`]*)`")
_TABLE = re.compile(r"\s*\[\[?\s*(?P<name>[^\]]+?)\s*\]\]?")


def load_settings(file: Path) -> NodeSettings:
    """Return the settings in `file`.

    Raises SettingsError naming file, line and key when it cannot be read or is not valid.
    """
    return parse_settings(read_text(file), file=str(file))


def read_text(file: Path) -> str:
    """Return the text of a configuration file. Raises SettingsError when that cannot be."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{file}: byte {error.start} is not UTF-8; save it as UTF-8 text"
        ) from error


def parse_settings(text: str, *, file: str = "node.toml") -> NodeSettings:
    """Return the settings in `text` (TOML 1.0). Raises SettingsError; `file` is for its message."""
    table = parse_toml(text, file=file)
    try:
        return msgspec.convert(table, NodeSettings)
    except msgspec.ValidationError as error:
        raise SettingsError(explain(str(error), text, file=file)) from error


def parse_toml(text: str, *, file: str) -> dict[str, object]:
    """Return the TOML document. Raises SettingsError with file and line."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: not valid TOML: {error}") from error
    except RecursionError as error:
        raise SettingsError(f"{file}: nested too deeply to be settings") from error


def explain(problem: str, text: str, *, file: str) -> str:
    """Return msgspec's `problem` with file, line and key, as a person wants to read it."""
    at = _AT.search(problem)
    path = [part for part in re.split(r"[.\[\]]+", at["path"] if at else "") if part]
    what = _AT.sub("", problem)
    if unknown := _UNKNOWN.search(what):
        path.append(unknown["key"])
        what = "this key is not known; check its spelling against `simpul-node schema`"
    elif missing := _MISSING.search(what):
        path.append(missing["key"])
        what = "this key is missing; add it"
    line = line_of(text, path)
    where = f"{file}:{line}" if line else file
    return f"{where}: {'.'.join(path) or 'file'}: {what}"


def line_of(text: str, path: list[str]) -> int | None:
    """Return the line (from 1) of the key or table at `path`, else of its nearest parent."""
    names = [part for part in path if not part.isdigit() and part != "..."]
    best: int | None = None
    table: list[str] = []
    depth = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE.match(line):
            table = [part.strip().strip("\"'") for part in header["name"].split(".")]
            here = table
        elif "=" in line:
            here = [*table, *(part.strip().strip("\"'") for part in line.split("=")[0].split("."))]
        else:
            continue
        if here == names[: len(here)] and len(here) > depth:
            best, depth = number, len(here)
    return best
