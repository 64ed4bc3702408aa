"""Helps several nodes at once, a bounded number of them, and tells of each how it went."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from queue import SimpleQueue

from invoke import Exit
from invoke.util import ExceptionHandlingThread
from msgspec import Struct

from node.messages import SimpulError
from provisioning.audit.errors import AuditError
from provisioning.audit.log import AuditLog
from provisioning.fault import handing_on

_PARALLEL = 16
_EXIT_NOT_ALL = 3


class End(Struct, frozen=True, kw_only=True):
    """How it ended with one node: what is to be told, or the error that it failed with."""

    words: str = ""
    error: Exception | None = None


class _Doing(ExceptionHandlingThread):  # type: ignore[misc] # published without types
    """The work on one node; Invoke's thread keeps whatever error it ends with.

    Started it has a thread of its own; run() does it in the caller's.
    """

    def __init__(self, work: Callable[[], str], done: Callable[[End], None]) -> None:
        super().__init__()
        self._work = work
        self._done = done
        self._words = ""

    def _run(self) -> None:
        self._words = self._work()

    def run(self) -> None:
        super().run()
        raised = self.exception()
        error = raised.value if raised else None
        if error is not None and not isinstance(error, Exception):
            raise error  # Ctrl-C is nobody's failure
        self._done(End(words=self._words, error=error))


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

    def logged(name: str) -> str:
        with log.doing(action, (name,)):
            return work(name)

    if 1 in {parallel, len(names)}:
        # In the thread that Ctrl-C comes to, and that alone may ask at the terminal.
        for name in names:
            _Doing(partial(logged, name), partial(ended, name)).run()
    else:
        _side_by_side(action, names, log, work, ended, parallel)
    if failed:
        raise Exit(code=_EXIT_NOT_ALL)


def _side_by_side(
    action: str,
    names: Sequence[str],
    log: AuditLog,
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

    def interrupted(stop: BaseException) -> None:
        for deed in deeds.values():
            _close(deed, stop)

    with handing_on(interrupted):  # Ctrl-C, or nobody reads any more
        while waiting or deeds:
            if waiting and len(deeds) < parallel:
                name = waiting.popleft()
                deed = ExitStack()
                try:
                    deed.enter_context(log.doing(action, (name,)))
                except AuditError as error:
                    ended(name, End(error=error))
                    continue
                deeds[name] = deed
                _Doing(partial(work, name), partial(_put, ends, name)).start()
                continue
            name, end = ends.get()
            try:
                _close(deeds.pop(name), end.error)
            except AuditError as error:
                end = End(error=error)
            ended(name, end)


def _put(ends: SimpleQueue[tuple[str, End]], name: str, end: End) -> None:
    ends.put((name, end))


def _close(deed: ExitStack, error: BaseException | None) -> None:
    """Write how the deed ended. Raises AuditError."""
    deed.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)


def _words_of(error: Exception) -> str:
    if isinstance(error, SimpulError):
        return str(error)
    return f"a fault of this program: {type(error).__name__}: {error}; report it"
