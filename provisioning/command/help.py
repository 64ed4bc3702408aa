"""Tells people what `simpul` can do and how it is asked."""

import inspect
import shutil
import textwrap
from collections.abc import Iterable

from invoke import Argument, Collection

from provisioning.command.words import Found, arguments_of

_INDENT = "  "
_COLUMNS_MAX = 100
_VALUES = {str: "TEXT", int: "N", float: "N", list: "TEXT"}
_END = """\
{said} COMMAND --help tells more.
Exit status: 0 well, 1 failed, 2 a wrong command line, 3 done, but not all is well,
130 stopped by Ctrl-C."""
_TOP = """\
simpul --version
simpul --print-completion-script bash|zsh|fish   for the start file of your shell"""


def collection_help(collection: Collection, said: str) -> str:
    """Return the commands of a collection, each with the first line of its purpose."""
    rows = [(name, _first_line(task.__doc__)) for name, task in collection.tasks.items()]
    rows += [
        (f"{name} ...", _first_line(inner.__doc__))
        for name, inner in collection.collections.items()
    ]
    parts = [f"Usage: {said} COMMAND [--options]", _table(sorted(rows)), _END.format(said=said)]
    if said == "simpul":
        parts.append(_TOP)
    return "\n\n".join(parts)


def task_help(found: Found) -> str:
    """Return what a task does, and its options with their defaults."""
    options = arguments_of(found.task)
    places = [_place(argument) for argument in options.values() if argument.positional]
    usage = " ".join([f"Usage: {found.said}", *places, "[--options]"])
    rows = [(_option(flag, argument), _described(argument)) for flag, argument in options.items()]
    if "--dry-run" not in options:
        rows.append(("--dry-run", "Say what would be run with which values, and do nothing."))
    return "\n\n".join([usage, inspect.cleandoc(found.task.__doc__ or ""), _table(rows)])


def _place(argument: Argument) -> str:
    word = argument.names[0].upper()
    return f"[{word} ...]" if argument.kind is list else word


def _option(flag: str, argument: Argument) -> str:
    if argument.positional:
        return _place(argument)
    return f"{flag} {_VALUES[argument.kind]}" if argument.takes_value else flag


def _described(argument: Argument) -> str:
    text = argument.help or ""
    default = argument.default
    # A default that says nothing, or that the text already tells, is not worth a word.
    if isinstance(default, bool) or not default or str(default) in text:
        return text
    return f"{text} Default: {default}."


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n", 1)[0]


def _table(rows: Iterable[tuple[str, str]]) -> str:
    listed = list(rows)
    width = max((len(name) for name, _ in listed), default=0) + 2
    columns = min(shutil.get_terminal_size().columns, _COLUMNS_MAX)
    lines = [
        textwrap.fill(
            text,
            width=max(columns, width + 40),
            initial_indent=f"{_INDENT}{name:<{width}}",
            subsequent_indent=" " * (len(_INDENT) + width),
        )
        if text
        else f"{_INDENT}{name}"
        for name, text in listed
    ]
    return "\n".join(lines)
