"""Helps several nodes at once, a bounded number of them, and tells of each how it went."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from queue import SimpleQueue
from threading import Thread
from types import TracebackType

from invoke import Exit
from msgspec import Struct

from node.messages import SimpulError
from provisioning.audit.log import AuditLog

_PARALLEL = 16
_EXIT_NOT_ALL = 3


class End(Struct, frozen=True, kw_only=True):
    """How it ended with one node: what is to be told, or the error that it failed with."""

    words: str = ""
    error: Exception | None = None


def each_node(  # noqa: PLR0913 - what is done, to whom, and how that is told
    action: str,
    names: Sequence[str],
    log: AuditLog,
    work: Callable[[str], str],
    tell: Callable[[str], None],
    *,
    parallel: int = _PARALLEL,
    named: bool = True,
) -> None:
    """Do `work`, which returns what is to be told, on every node; each is a deed in the log.

    Each is told of once it has ended, after its name if `named`; an error of one, even one that
    nobody foresaw, takes nothing from the others. Ctrl-C ends all of it, and what was under way
    stands in the log as interrupted. Raises Exit with status 3 when it did not go well on all.
    """
    failed: list[str] = []

    def ended(name: str, end: End) -> None:
        if end.error is not None:
            failed.append(name)
            tell(f"{name}: {_words_of(end.error)}")
        elif end.words:
            tell(f"{name}: {end.words}" if named else end.words)

    def begun(name: str) -> ExitStack:
        deed = ExitStack()
        deed.enter_context(log.doing(action, (name,)))
        return deed

    def in_turn(name: str) -> str:
        with begun(name):
            return work(name)

    if 1 in {parallel, len(names)}:
        # In the thread that Ctrl-C comes to, and that alone may ask at the terminal.
        for name in names:
            ended(name, _end_of(partial(in_turn, name)))
    else:
        _side_by_side(names, begun, work, ended, parallel)
    if failed:
        raise Exit(code=_EXIT_NOT_ALL)


def _side_by_side(
    names: Sequence[str],
    begun: Callable[[str], ExitStack],
    work: Callable[[str], str],
    ended: Callable[[str, End], None],
    parallel: int,
) -> None:
    """Work in threads; this one, to which Ctrl-C comes, begins and ends the deeds.

    The threads and the connections that they hold end with the process: none is waited for.
    """
    waiting = deque(names)
    deeds: dict[str, ExitStack] = {}
    ends: SimpleQueue[tuple[str, End]] = SimpleQueue()

    def begin(name: str) -> str:
        def run() -> None:
            ends.put((name, _end_of(partial(work, name))))

        with begun(name) as deed:
            Thread(target=run, daemon=True).start()
            deeds[name] = deed.pop_all()
        return ""

    def close(name: str, end: End) -> str:
        with deeds.pop(name):
            if end.error is not None:
                raise end.error
        return end.words

    try:
        while waiting or deeds:
            if waiting and len(deeds) < parallel:
                name = waiting.popleft()
                end = _end_of(partial(begin, name))
                if end.error is not None:
                    ended(name, end)
                continue
            name, end = ends.get()
            ended(name, _end_of(partial(close, name, end)))
    except BaseException as stop:  # Ctrl-C, or nobody reads any more
        for deed in deeds.values():
            deed.__exit__(type(stop), stop, stop.__traceback__)
        raise


def _end_of(work: Callable[[], str]) -> End:
    """Return how `work` ended, whatever error it was; Ctrl-C is none."""
    errors: list[Exception] = []

    def keep(
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> bool:
        if isinstance(error, Exception):
            errors.append(error)
        return bool(errors)

    words = ""
    with ExitStack() as stack:
        stack.push(keep)
        words = work()
    return End(words=words, error=errors[0] if errors else None)


def _words_of(error: Exception) -> str:
    if isinstance(error, SimpulError):
        return str(error)
    return f"a fault of this program: {type(error).__name__}: {error}; report it"
