"""Reads a command line as people write it: `simpul release build`, `simpul flash a b c`.

Invoke keeps the tasks and derives their options; its own parser knows neither words below words
nor several names in a row, and answers a wrong number with a traceback.
"""

import difflib
from collections import deque
from collections.abc import Iterable, Sequence

from invoke import Argument, Collection, Task
from msgspec import Struct

from provisioning.command.errors import UsageError

HELP = frozenset({"-h", "--help"})
# Linux's bounds of a file name and a path (limits.h); nodes, hosts and people have shorter names.
_NAME_BYTES_MAX = 255
_PATH_BYTES_MAX = 4095
_SHOWN_CHARACTERS = 24


class Found(Struct, frozen=True, kw_only=True):
    """A task as it was asked for: "release build", and the words that are left for it."""

    said: str
    task: Task
    rest: tuple[str, ...]


def find_task(namespace: Collection, words: Sequence[str]) -> Found | Collection:
    """Return the task that the words name, or the collection when they name no more than that.

    Raises UsageError, which suggests the nearest name.
    """
    here, said = namespace, "simpul"
    for index, word in enumerate(words):
        if word in HELP:
            break
        if word in here.tasks:
            said = f"{said} {word}"
            return Found(said=said, task=here.tasks[word], rest=tuple(words[index + 1 :]))
        if word not in here.collections:
            known = [*here.tasks, *here.collections]
            raise UsageError(f"{said} has no command {word!r}; {_nearest(word, known, said)}")
        here, said = here.collections[word], f"{said} {word}"
    return here


def arguments_of(task: Task) -> dict[str, Argument]:
    """Return the options of a task as they are written ("--dry-run"), positional ones first."""
    # Invoke takes the help texts away while it builds the arguments, so a copy is given.
    texts = dict(task.help)
    arguments: list[Argument] = task.get_arguments()
    task.help = texts
    found = {}
    for argument in arguments:
        turned_off = argument.kind is bool and argument.default is True
        found[f"--no-{argument.names[0]}" if turned_off else f"--{argument.names[0]}"] = argument
    return found


def read_values(found: Found) -> dict[str, object]:
    """Return what the task is called with. Raises UsageError."""
    _refuse_garbage(found)
    options = arguments_of(found.task)
    places = deque(argument for argument in options.values() if argument.positional)
    values: dict[str, object] = {}
    words = deque(found.rest)
    names_only = False
    while words:
        word = words.popleft()
        if word == "--" and not names_only:
            names_only = True
        elif names_only or not word.startswith("--"):
            _set(values, _next_place(places, values, word, found), word)
        else:
            _read_option(found, options, values, word, words)
    for argument in places:
        if argument.name not in values and argument.kind is not list:
            raise UsageError(
                f"{found.said}: {argument.names[0].upper()} is missing; see {found.said} --help"
            )
    return values


def _refuse_garbage(found: Found) -> None:
    """Raise UsageError for bytes that are no text, as Python hands them on (PEP 383).

    Refused here and once, because every file, register and terminal behind would stumble at them.
    """
    for word in found.rest:
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise UsageError(
                f"{found.said}: {word!r} is no text in UTF-8; is your terminal set to UTF-8, or has"
                " a file a name from another system?"
            ) from error


def _read_option(
    found: Found,
    options: dict[str, Argument],
    values: dict[str, object],
    word: str,
    words: deque[str],
) -> None:
    name, equals, value = word.partition("=")
    if name not in options:
        hint = _nearest(name, options, found.said)
        raise UsageError(f"{found.said} has no option {name}; {hint}")
    argument = options[name]
    if not argument.takes_value:
        if equals:
            raise UsageError(f"{found.said}: {name} takes no value")
        values[argument.name] = not argument.default
        return
    if not equals:
        if not words or words[0].startswith("--"):
            raise UsageError(f"{found.said}: {name} needs a value")
        value = words.popleft()
    _set(values, argument, value)


def _next_place(
    places: deque[Argument], values: dict[str, object], word: str, found: Found
) -> Argument:
    while places and places[0].name in values and places[0].kind is not list:
        places.popleft()
    if not places:
        raise UsageError(f"{found.said}: {word!r} is one word too many; see {found.said} --help")
    return places[0]


def _set(values: dict[str, object], argument: Argument, value: str) -> None:
    name = argument.name
    if argument.kind in {str, list}:
        _refuse_overlong(argument, value)
    if argument.kind is list:
        values[name] = [*values.get(name, []), value]  # type: ignore[misc]
        return
    try:
        values[name] = argument.kind(value)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--{argument.names[0]}: {value!r} is no number") from error


def _refuse_overlong(argument: Argument, value: str) -> None:
    """Raise UsageError for what nothing can be called; commas divide lists of names."""
    if "=" in value:
        return  # layer.variable=value, which is no name
    for path in value.split(","):
        for what, most, parts in (
            ("name", _NAME_BYTES_MAX, path.split("/")),
            ("path", _PATH_BYTES_MAX, [path]),
        ):
            longest = max(parts, key=lambda part: len(part.encode()))
            if (size := len(longest.encode())) > most:
                raise UsageError(
                    f"--{argument.names[0]}: '{longest[:_SHOWN_CHARACTERS]}...' has {size} bytes;"
                    f" a {what} has at most {most}"
                )


def _nearest(word: str, known: Iterable[str], said: str) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]}?" if near else f"see {said} --help"
