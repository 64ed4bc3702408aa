"""Says in words what is wrong with a value, where msgspec speaks of types and patterns."""

import difflib
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

_TYPES = {
    "str": "text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list in [ ]",
    "object": "a table",
}
_BOUNDS = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}
_Words = Callable[[re.Match[str], Sequence[str], type[Struct]], str]


def in_words(what: str, path: Sequence[str], model: type[Struct]) -> str:
    """Return `what` msgspec said of the value at `path` of `model`, as a person wants to read it.

    What is not recognised is returned as it is.
    """
    for pattern, words in _WORDINGS:
        if match := pattern.search(what):
            return words(match, path, model)
    return what


def _unknown(match: re.Match[str], path: Sequence[str], model: type[Struct]) -> str:
    table = _type_at(path, model)
    known = [each.encode_name for each in msgspec.structs.fields(table)] if table else []
    near = difflib.get_close_matches(match["key"], known, n=1)
    if near:
        return f"this key is not known; is {near[0]} meant?"
    return f"this key is not known here; the keys are {', '.join(known)}"


def _missing(_match: re.Match[str], _path: Sequence[str], _model: type[Struct]) -> str:
    return "this key is missing; add it"


def _choice(match: re.Match[str], path: Sequence[str], model: type[Struct]) -> str:
    allowed = ", ".join(map(str, get_args(_hint_at(path, model)[0])))
    return f"{match['value']} is none of the choices: {allowed}"


def _pattern(match: re.Match[str], path: Sequence[str], model: type[Struct]) -> str:
    if match["pattern"] == "^/":
        return "must be an absolute path; begin it with /"
    description = _hint_at(path, model)[1]
    return f"this is not of the form: {description or match['pattern']}"


def _length(match: re.Match[str], _path: Sequence[str], _model: type[Struct]) -> str:
    unit = "characters" if match["kind"] == "str" else "entries"
    return f"must have {_BOUNDS[match['sign']]} {match['count']} {unit}"


def _multiple(match: re.Match[str], _path: Sequence[str], _model: type[Struct]) -> str:
    return f"must be a multiple of {match['step']}"


def _bound(match: re.Match[str], _path: Sequence[str], _model: type[Struct]) -> str:
    return f"must be {_BOUNDS[match['sign']]} {float(match['value']):.15g}"


def _type(match: re.Match[str], _path: Sequence[str], _model: type[Struct]) -> str:
    wanted, got = match["wanted"], match["got"]
    said = "a fraction" if got == "float" else _TYPES.get(got, got)
    return f"must be {_TYPES.get(wanted, wanted)}, not {said}"


_WORDINGS: tuple[tuple[re.Pattern[str], _Words], ...] = (
    (re.compile(r"^Object contains unknown field `(?P<key>[^`]*)`"), _unknown),
    (re.compile(r"^Object missing required field"), _missing),
    (re.compile(r"^Invalid enum value (?P<value>.*)"), _choice),
    (re.compile(r"^Expected `str` matching regex '(?P<pattern>.*)'$"), _pattern),
    (
        re.compile(r"^Expected `(?P<kind>str|array)` of length (?P<sign>>=|<=) (?P<count>\d+)"),
        _length,
    ),
    (re.compile(r"^Expected `\w+` that's a multiple of (?P<step>\S+)"), _multiple),
    (re.compile(r"^Expected `\w+` (?P<sign>>=|>|<=|<) (?P<value>\S+)$"), _bound),
    (re.compile(r"^Expected `(?P<wanted>\w+)(?: \| null)?`, got `(?P<got>\w+)`"), _type),
)


def _type_at(path: Sequence[str], model: type[Struct]) -> type[Struct] | None:
    """Return the table at `path`, or None when there is no table."""
    kind = _hint_at(path, model)[0] if path else model
    return kind if isinstance(kind, type) and issubclass(kind, Struct) else None


def _hint_at(path: Sequence[str], model: type[Struct]) -> tuple[Any, str]:
    """Return the bare type at `path` below `model`, and the nearest description on the way."""
    kind: Any = model
    description = ""
    for part in path:
        if get_origin(kind) is tuple:  # an entry of a list: tuple[X, ...]
            kind = get_args(kind)[0]
        elif isinstance(kind, type) and issubclass(kind, Struct):
            kind = get_type_hints(kind, include_extras=True).get(part)
        if get_origin(kind) is Annotated:
            kind, *notes = get_args(kind)
            told = [note.description for note in notes if isinstance(note, Meta)]
            description = next(filter(None, told), description)
    return kind, description
