"""The source that takes every row of the table at a steady beat and says it as one Health."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from node.beat import beats
from node.errors import ReadingError
from node.health.machine import Machine
from node.health.parse import Figures, Value
from node.health.readings import TABLE, Origin, Reading, TextFile
from node.messages import Health
from node.source import Sink

_LOG = logging.getLogger(__name__)

Extra: TypeAlias = Callable[[], Figures]
"""Figures that another room knows (uplink, outbox): fields of Health; never raises."""


class HealthSource:
    """Measures the machine; implements node.source.Source."""

    name = "health"

    def __init__(
        self,
        machine: Machine,
        *,
        measure_interval_seconds: float,
        extra: Sequence[Extra] = (),
        table: Sequence[Reading] = TABLE,
    ) -> None:
        """Take `table` of `machine`, and the figures of every callable in `extra`."""
        self._machine = machine
        self._interval_seconds = measure_interval_seconds
        self._extra = tuple(extra)
        self._table = tuple(table)
        self._complained: set[str] = set()

    def run(self, sink: Sink, stop: threading.Event) -> None:
        """Send a Health at once and then at every beat, until `stop` is set."""
        clock = self._machine.clock
        for _ in beats(stop, clock=clock, interval_seconds=self._interval_seconds):
            sink.measure("health", self.measure())

    def measure(self) -> Health:
        """Take every row once; a row that fails leaves its fields absent and stops no other.

        Raises TypeError or msgspec.ValidationError when an extra is not what it promised.
        """
        figures: dict[str, Value] = {}
        for reading in self._table:
            figures.update(self._take(reading))
        for extra in self._extra:
            figures.update(extra())
        if unknown := figures.keys() - set(Health.__struct_fields__):
            raise TypeError(f"not fields of messages.Health: {', '.join(sorted(unknown))}")
        return msgspec.convert(figures, Health)

    def _take(self, reading: Reading) -> Figures:
        for origin in reading.origins:
            if figures := self._ask(origin):
                return {name: figures[name] for name in reading.fields if name in figures}
        return {}

    def _ask(self, origin: Origin) -> Figures:
        try:
            return origin(self._machine)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ReadingError) as error:
            self._complain_once(_label(origin), error)
            return {}

    def _complain_once(self, label: str, error: Exception) -> None:
        if label in self._complained:
            return
        self._complained.add(label)
        _LOG.warning("%s: not measured (said once): %s", label, error)


def _label(origin: Origin) -> str:
    if isinstance(origin, TextFile):
        return f"/{origin.path}"
    return str(getattr(origin, "__name__", origin)).replace("_", " ")
