"""The task `simpul audit`; it hands over to the modules that do the work."""

from pathlib import Path

import msgspec
from fabric import task
from invoke import Context, Exit
from rich.console import Console

from provisioning.audit.log import AUDIT_FILE
from provisioning.audit.show import audit_table
from provisioning.audit.verify import read_log
from provisioning.register import REGISTER_FILE, Register

_EXIT_BROKEN = 3


@task(
    positional=["node"],
    iterable=["node"],
    help={
        "node": "Only what was done to these.",
        "file": f"The log; else {AUDIT_FILE}.",
        "register": f"Tells whom the keys were certified for; else {REGISTER_FILE}.",
        "last": "Only so many lines; 0 is all.",
        "json": "Print JSON.",
    },
)
def audit(
    _context: Context,
    node: list[str] | None = None,
    file: str = str(AUDIT_FILE),
    register: str = str(REGISTER_FILE),
    last: int = 0,
    json: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Show who did what to which node, and check every signature; exit 3 when one is wrong."""
    read = read_log(Path(file), Register(Path(register)).rows("certificate"))
    shown = [each for each in read.entries if not node or {*node} & {*each.deed.nodes}]
    if last > 0:
        shown = shown[-last:]
    if json:
        print(msgspec.json.encode(shown).decode())  # noqa: T201 - the command's answer
    else:
        Console().print(audit_table(shown))
    broken = sum(bool(each.problem) for each in read.entries)
    if broken:
        raise Exit(f"simpul: {file}: {broken} lines are not to be believed", code=_EXIT_BROKEN)
    if not json:
        print(f"{len(read.entries)} lines, all signed; the last: {read.head}")  # noqa: T201 - as above
