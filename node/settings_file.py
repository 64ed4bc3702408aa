"""Reads node.toml and says of a mistake what is wrong, where, and what to do."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from node.errors import SettingsError
from node.settings import NodeSettings
from node.settings_words import in_words

_AT = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<key>[^`]*)`")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
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
    if unprintable := next(_unprintable(table, []), None):
        problem = "holds a line break or another control character; remove it"
        raise SettingsError(_located(problem, text, unprintable, file=file))
    try:
        return msgspec.convert(table, NodeSettings)
    except msgspec.ValidationError as error:
        problem = explain(str(error), text, file=file, model=NodeSettings)
        raise SettingsError(problem) from error
    except OverflowError as error:
        raise SettingsError(f"{file}: a number is too large: {error}") from error


def parse_toml(text: str, *, file: str) -> dict[str, object]:
    """Return the TOML document. Raises SettingsError with file and line."""
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or Python's own refusal of endless integers
        what, _, place = str(error).partition(" (at line ")
        line = f":{place.partition(',')[0]}" if place else ""
        raise SettingsError(f"{file}{line}: not valid TOML: {what}") from error
    except RecursionError as error:
        raise SettingsError(f"{file}: nested too deeply to be settings") from error


def _unprintable(value: object, path: list[str]) -> Iterator[list[str]]:
    """Find text that is no single line; the `$` of a pattern lets a last line break pass."""
    if isinstance(value, str) and _CONTROL.search(value):
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _unprintable(inner, [*path, key])
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _unprintable(inner, [*path, str(index)])


def explain(problem: str, text: str, *, file: str, model: type[msgspec.Struct]) -> str:
    """Return msgspec's `problem` with file, line and key, as a person wants to read it.

    `text` is the document that `model` refused.
    """
    at = _AT.search(problem)
    path = [part for part in re.split(r"[.\[\]]+", at["path"] if at else "") if part]
    what = in_words(_AT.sub("", problem), path, model)
    path += [found["key"] for told in (_UNKNOWN, _MISSING) if (found := told.search(problem))]
    return _located(what, text, path, file=file)


def _located(what: str, text: str, path: list[str], *, file: str) -> str:
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
