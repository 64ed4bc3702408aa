"""Completes command lines in the shell: commands, options, and the inventory's nodes.

The shell calls `simpul --complete -- WORDS`, as Invoke's scripts for bash, zsh and fish do, and
keeps the candidates that begin as the last word does.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from invoke import Collection

from provisioning.command.errors import UsageError
from provisioning.command.words import Found, arguments_of, find_task
from provisioning.inventory import INVENTORY_FILE, InventoryError, nodes

_NODES = frozenset({"node", "nodes"})
_INVENTORY = "--inventory"


def candidates(namespace: Collection, words: Sequence[str]) -> list[str]:
    """Return what may follow or end the words (without `simpul` itself); [] leaves it to files."""
    try:
        found = find_task(namespace, words)
    except UsageError:  # the last word is not whole yet
        try:
            found = find_task(namespace, words[:-1])
        except UsageError:
            return []
    if isinstance(found, Found):
        return _of_task(found)
    return sorted([*found.tasks, *found.collections])


def _of_task(found: Found) -> list[str]:
    options = arguments_of(found.task)
    # The word before may be waiting for its value: a file, most often, which the shell knows.
    for word in found.rest[-2:]:
        if word in options and options[word].takes_value:
            return []
    places = {argument.names[0] for argument in options.values() if argument.positional}
    named = _node_names(found.rest) if places & _NODES else []
    return sorted({*named, *options, "--dry-run", "--help"})


def _node_names(words: Sequence[str]) -> list[str]:
    file = INVENTORY_FILE
    for word, following in pairwise(words):
        if word == _INVENTORY:
            file = Path(following)
    try:
        return [node.name for node in nodes(file)]
    except InventoryError:
        return []  # the command itself will say so; a completion is no place for it
