"""Tells whoever waits for a thread of an error in it, whatever error that is, and lets it pass."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType


@contextmanager
def handing_on(tell: Callable[[BaseException], object]) -> Iterator[None]:
    """Call `tell` with the error that leaves the context, which goes on as it was.

    For what would else wait for ever, or take silence for success.
    """

    def left(
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if error is not None:
            tell(error)

    with ExitStack() as stack:
        stack.push(left)
        yield
