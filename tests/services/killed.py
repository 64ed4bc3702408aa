"""Kills a piece of work with SIGKILL just before each change that it makes below a folder, in turn.

The changes are those that Python's audit events tell of: files opened to be written, renamed,
removed, linked; directories made and removed.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PATHS_IN_EVENT = {
    "open": 1,
    "os.rename": 2,
    "os.remove": 1,
    "os.symlink": 2,
    "os.link": 2,
    "os.mkdir": 1,
    "os.rmdir": 1,
    "os.chmod": 1,
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def killed_before(change: int, root: Path, work: Callable[[], object]) -> bool:
    """Run `work` in a child, killed before its change number `change`; tell whether it was.

    False means that it made fewer changes and ended. Raises ChildProcessError when it failed.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            sys.addaudithook(_Killer(change, str(root)))
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    if status:
        raise ChildProcessError(f"the work itself failed, status {status:#x}")
    return False


class _Killer:
    def __init__(self, change: int, root: str) -> None:
        self._left = change
        self._root = root

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        count = _PATHS_IN_EVENT.get(event)
        if count is None or (event == "open" and not (arguments[2] or 0) & _WRITING):
            return
        paths = (os.fspath(each) for each in arguments[:count] if not isinstance(each, int))
        # shutil.rmtree names files by their directory's descriptor: those count too.
        if any(str(path).startswith(self._root) or not str(path).startswith("/") for path in paths):
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
