"""Helps several nodes at once, a bounded number of them, and tells of each how it went."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from invoke import Exit

from node.messages import SimpulError
from provisioning.audit.log import AuditLog

_PARALLEL = 16
_EXIT_NOT_ALL = 3


def each_node(
    action: str,
    names: Sequence[str],
    log: AuditLog,
    work: Callable[[str], str],
    tell: Callable[[str], None],
    *,
    parallel: int = _PARALLEL,
) -> None:
    """Do `work`, which returns what is to be told, on every node; each is a deed in the log.

    Raises Exit with status 3 when it did not go well on all of them.
    """

    def one(name: str) -> tuple[str, bool]:
        try:
            with log.doing(action, (name,)):
                return work(name), True
        except SimpulError as error:
            return str(error), False

    with ThreadPoolExecutor(max_workers=parallel) as pool:
        ends = list(zip(names, pool.map(one, names), strict=True))
    for name, (words, _) in ends:
        if words:
            tell(f"{name}: {words}")
    if not all(well for _, (_, well) in ends):
        raise Exit(code=_EXIT_NOT_ALL)
