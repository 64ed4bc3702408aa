"""Stops one card or lets it become bootable: exactly one of the two.

A card that was given up may answer much later. It must not boot then, and take no identity after
the card that replaced it. So whoever gives it up and the thread that writes its last block ask here
first, under one lock. Only a card that hangs in that very write is given up amid it: it is told of
as one that may boot, and takes the block back should it ever answer.
"""

import threading

from provisioning.flash.errors import StoppedError

_GOES_ON = "put it in again and flash it: it goes on from there"


class Stop:
    """Asked for by whoever gives a card up, and heard by the threads that make it."""

    def __init__(self) -> None:
        """Let the card be made."""
        self._asked = False
        self._is_last = False
        self._finished = False
        self._lock = threading.Lock()

    def ask(self, *, even_last: bool = False) -> bool:
        """Have the card stop where it is; tell whether it has to.

        It has not when it is finished, nor while its last block is written, unless `even_last`.
        """
        with self._lock:
            if not self._finished and (even_last or not self._is_last):
                self._asked = True
            return self._asked

    def check(self, words: str = _GOES_ON) -> None:
        """Do nothing while the card may go on. Raises StoppedError, with these words."""
        if self._asked:
            raise StoppedError(words)

    def begin_last(self) -> None:
        """Say that the block which makes the card boot comes now. Raises StoppedError."""
        with self._lock:
            self.check()
            self._is_last = True

    def finish(self) -> None:
        """Call the card finished: from here on nobody can give it up. Raises StoppedError."""
        with self._lock:
            self.check()
            self._finished = True
