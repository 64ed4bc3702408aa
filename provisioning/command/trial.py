"""Lets every command be tried dry, also one whose task knows no --dry-run of its own."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from provisioning.command.words import Found, arguments_of, read_values
from provisioning.inventory import find, nodes

DRY_RUN = "--dry-run"
_PLAN = "--plan"


def has_own_trial(found: Found) -> bool:
    """Tell whether the task itself says what it would do."""
    return DRY_RUN in arguments_of(found.task)


def as_planned(found: Found) -> Found | None:
    """Return the command with the trial that its task has under another name, None without one."""
    if _PLAN not in arguments_of(found.task):
        return None
    rest = tuple(_PLAN if word == DRY_RUN else word for word in found.rest)
    return msgspec.structs.replace(found, rest=rest)


def told(found: Found) -> str:
    """Return what would be run.

    Raises UsageError for a wrong command line, InventoryError for a node that is not there.
    """
    rest = tuple(word for word in found.rest if word != DRY_RUN)
    values = read_values(msgspec.structs.replace(found, rest=rest))
    _check_nodes(found, values)
    purpose = (found.task.__doc__ or "").strip().split("\n", 1)[0]
    lines = [f"would run {found.said}: {purpose}"]
    for flag, argument in arguments_of(found.task).items():
        value = values.get(argument.name, argument.default)
        if value not in (None, "", [], False):
            lines.append(f"  {flag.removeprefix('--')} = {value}")
    return "\n".join(lines)


def _check_nodes(found: Found, values: Mapping[str, object]) -> None:
    """Look the named nodes up, as the command itself would do first. Raises InventoryError."""
    options = arguments_of(found.task)
    if "--inventory" not in options:
        return
    given = [values[name] for name in ("node", "nodes") if name in values]
    # In a row, or as one word with commas between.
    rows = [each if isinstance(each, list) else str(each).split(",") for each in given]
    names = [name.strip() for row in rows for name in row if name.strip()]
    if names:
        inventory = values.get("inventory", options["--inventory"].default)
        find(names, nodes(Path(str(inventory))))
