"""The command `python -m provisioning.reference`: generates the reference, or checks it."""

import argparse
import sys
from pathlib import Path

from provisioning.reference.write import (
    generate,
    generate_argument_specs,
    outdated,
    outdated_argument_specs,
)


def main(arguments: list[str] | None = None) -> int:
    """Return 0; with --check, 1 when a file differs from what the models say now."""
    parser = argparse.ArgumentParser(
        prog="python -m provisioning.reference",
        description="Generate the reference from the models.",
    )
    parser.add_argument("directory", type=Path, metavar="DIRECTORY")
    parser.add_argument(
        "--check", action="store_true", help="Write nothing; exit 1 and name the files that differ."
    )
    options = parser.parse_args(arguments)
    if not options.check:
        for file in [*generate(options.directory), *generate_argument_specs()]:
            print(f"written: {file}")  # noqa: T201 - a command speaks to its terminal
        return 0
    stale = [*outdated(options.directory), *outdated_argument_specs()]
    for file in stale:
        print(f"differs: {file}; run `make generate`", file=sys.stderr)  # noqa: T201 - as above
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
