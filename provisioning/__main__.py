"""The command `simpul`, on Fabric."""

import sys
from importlib.metadata import version

from fabric.config import Config
from fabric.executor import Executor
from fabric.main import Fab
from invoke import Collection

from node.messages import SimpulError
from provisioning import tasks

_EXIT_FAILED = 1
_EXIT_INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run `simpul`; return its exit status. Fabric itself exits with 1 or 2 for bad usage."""
    program = Fab(
        name="simpul",
        version=version("simpul"),
        namespace=Collection.from_module(tasks),
        executor_class=Executor,
        config_class=Config,
    )
    try:
        program.run(["simpul", *(sys.argv[1:] if arguments is None else arguments)])
    except SimpulError as error:
        print(f"simpul: {error}", file=sys.stderr)  # noqa: T201 - a command speaks to its terminal
        return _EXIT_FAILED
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
