"""The command `simpul`: Fabric's tasks, each at home in the module that does the work."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from invoke import Collection, Executor, Exit, Task
from invoke.completion.complete import print_completion_script
from invoke.exceptions import ParseError

from node.messages import SimpulError
from provisioning.command.complete import candidates
from provisioning.command.errors import UsageError
from provisioning.command.help import collection_help, task_help
from provisioning.command.trial import DRY_RUN, as_planned, has_own_trial, told
from provisioning.command.words import HELP, Found, find_task, read_values
from provisioning.printable import printable

# Command -> the task or collection that carries it out. Imported when asked for: a status must
# not wait for the libraries of a flash.
COMMANDS = {
    "audit": "provisioning.audit.tasks:audit",
    "authority": "provisioning.authority.tasks:authority_tasks",
    "cards": "provisioning.flash.tasks:cards",
    "checklist": "provisioning.enrol.tasks:show_checklist",
    "confirm-view": "provisioning.remote.tasks:confirm_view",
    "demo": "provisioning.tasks:demo",
    "enrol": "provisioning.enrol.tasks:enrol_node",
    "flash": "provisioning.flash.tasks:flash",
    "identify": "provisioning.remote.tasks:identify_nodes",
    "image": "provisioning.image.tasks:image_tasks",
    "logs": "provisioning.remote.tasks:show_logs",
    "nodes": "provisioning.tasks:list_nodes",
    "reboot": "provisioning.remote.tasks:reboot_nodes",
    "release": "provisioning.release.tasks:release_tasks",
    "seed": "provisioning.flash.tasks:seed",
    "shell": "provisioning.remote.tasks:shell",
    "snapshot": "provisioning.remote.tasks:take_snapshots",
    "station": "provisioning.flash.tasks:station",
    "rollback": "provisioning.update.tasks:rollback",
    "status": "provisioning.tasks:status",
    "update": "provisioning.update.tasks:update",
    "update-os": "provisioning.update.os_tasks:update_os",
    "watch": "provisioning.tasks:watch",
}
_EXIT_FAILED = 1
_EXIT_USAGE = 2
_EXIT_INTERRUPTED = 130
_EXIT_PIPE = 141


def main(arguments: list[str] | None = None) -> int:
    """Run `simpul`; return its exit status: 0 well, 1 failed, 2 a wrong command line, 130 Ctrl-C.

    A command may end with others of its own.
    """
    words = sys.argv[1:] if arguments is None else arguments
    try:
        status = _status_of(words)
        sys.stdout.flush()
    except BrokenPipeError:
        _say_no_more()  # whoever read the answer has read enough
        return _EXIT_PIPE
    except OSError as error:
        if _can_answer():
            raise  # it is of something else
        _say_no_more()
        _complain(f"simpul: the answer is not whole: standard output: {error.strerror}")
        return _EXIT_FAILED
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    return status


def _status_of(words: Sequence[str]) -> int:
    try:
        return _run(words)
    except UsageError as error:
        _complain(f"simpul: {error}")
        return _EXIT_USAGE
    except SimpulError as error:
        _complain(f"simpul: {error}")
        return _EXIT_FAILED
    except Exit as end:
        if end.message:
            _complain(end.message)
        return int(end.code)


def _can_answer() -> bool:
    """Tell whether standard output takes anything, if only the end of a line."""
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError:
        return False
    return True


def _say_no_more() -> None:
    """Let what Python flushes at its end go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def namespace(words: Sequence[str]) -> Collection:
    """Return the commands that the words may mean: one when the first names it, else all."""
    made = Collection()
    for name, home in COMMANDS.items():
        if words and words[0] in COMMANDS and words[0] != name:
            continue
        module, _, attribute = home.partition(":")
        item = getattr(import_module(module), attribute)
        if isinstance(item, Task):
            made.add_task(item, name=name)
        else:
            made.add_collection(item, name=name)
    return made


def _run(words: Sequence[str]) -> int:
    first = words[0] if words else "--help"
    if first == "--version":
        print(f"simpul {version('simpul')}")  # noqa: T201 - the answer
        return 0
    if first == "--complete":
        typed = [word for word in words[1:] if word != "--"][1:]  # the first is `simpul` itself
        print("\n".join(candidates(namespace(typed), typed)))  # noqa: T201 - to the shell
        return 0
    if first == "--print-completion-script":
        return _print_script(words[1:])
    known = namespace(words)
    found = find_task(known, words)
    if isinstance(found, Collection):
        said = " ".join(["simpul", *(word for word in words if word not in HELP)])
        print(collection_help(found, said))  # noqa: T201 - the answer
        return 0
    _run_task(known, found)
    return 0


def _run_task(known: Collection, found: Found) -> None:
    if HELP & {*found.rest}:
        print(task_help(found))  # noqa: T201 - the answer
        return
    if DRY_RUN in found.rest and not has_own_trial(found):
        planned = as_planned(found)
        if planned is None:
            print(told(found))  # noqa: T201 - the answer
            return
        found = planned
    name = found.said.removeprefix("simpul ").replace(" ", ".")
    Executor(known).execute((name, read_values(found)))


def _complain(text: str) -> None:
    """Say what is wrong; some of it may be a node's own words."""
    print(printable(text, keep="\n\t"), file=sys.stderr)  # noqa: T201 - a command speaks to its terminal


def _print_script(shells: Sequence[str]) -> int:
    try:
        print_completion_script(shells[0] if shells else "none", ["simpul"])
    except ParseError as error:
        raise UsageError(f"--print-completion-script: {error}") from error
    return 0


if __name__ == "__main__":
    sys.exit(main())
