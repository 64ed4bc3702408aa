"""Keeps how far one card is; its own threads write it, the screen reads it."""

import time
from dataclasses import dataclass, field
from typing import Literal

Phase = Literal[
    "waiting",
    "checking",
    "screening",
    "wiping",
    "writing",
    "verifying",
    "sampling",
    "identity",
    "finishing",
    "done",
]
Verdict = Literal["", "verified", "failed", "fake", "refused", "stopped"]


@dataclass(slots=True)
class Progress:
    """How far one card is. `done_bytes` counts what is written and what is verified, both."""

    total_bytes: int = 0
    phase: Phase = "waiting"
    written_bytes: int = 0
    verified_bytes: int = 0
    resumed_bytes: int = 0
    screened_bytes: int = 0
    verdict: Verdict = ""
    reason: str = ""
    started_mono: float = field(default_factory=time.monotonic)
    writing_mono: float = 0.0
    written_mono: float = 0.0
    ended_mono: float = 0.0
    moved_mono: float = field(default_factory=time.monotonic)

    def begin(self, total_bytes: int) -> None:
        """Start the clock: who planned the card may have waited long for a person's word."""
        self.total_bytes = total_bytes
        self.started_mono = self.moved_mono = time.monotonic()

    def enter(self, phase: Phase) -> None:
        """Begin a phase."""
        self.moved_mono = time.monotonic()  # first: who sees the phase sees no older time
        self.phase = phase

    def resume(self, count_bytes: int) -> None:
        """Begin with what was finished earlier."""
        self.enter("writing")
        self.writing_mono = self.moved_mono
        self.resumed_bytes = self.verified_bytes = count_bytes
        self.wrote(count_bytes)

    def wrote(self, count_bytes: int) -> None:
        """Count bytes that the card took."""
        self.written_bytes += count_bytes
        self.moved_mono = time.monotonic()
        if self.written_bytes >= self.total_bytes:
            self.written_mono = self.moved_mono
            self.phase = "verifying"

    def verified(self, count_bytes: int) -> None:
        """Count bytes that the card gave back as they were written."""
        self.verified_bytes += count_bytes
        self.moved_mono = time.monotonic()

    def screened(self, count_bytes: int) -> None:
        """Count bytes of the screening for fake capacity."""
        self.screened_bytes += count_bytes
        self.moved_mono = time.monotonic()

    def end(self, verdict: Verdict, reason: str = "") -> None:
        """Give the verdict; the first one stands."""
        if self.verdict:
            return
        self.reason, self.ended_mono = reason, time.monotonic()
        self.phase = "done"
        self.verdict = verdict

    @property
    def seconds(self) -> float:
        """Return how long the card has taken so far, or took."""
        return (self.ended_mono or time.monotonic()) - self.started_mono

    @property
    def written_seconds(self) -> float:
        """Return how long it took until the last range was written; 0 before that."""
        return max(self.written_mono - self.started_mono, 0.0)

    @property
    def bytes_per_second(self) -> float:
        """Return the mean rate of writing, what was finished earlier apart."""
        until = self.written_mono or self.ended_mono or time.monotonic()
        seconds = until - self.writing_mono
        return (self.written_bytes - self.resumed_bytes) / max(seconds, 0.001)

    @property
    def seconds_left(self) -> float | None:
        """Return how long it will take at this pace; None when that cannot be told."""
        done = self.written_bytes + self.verified_bytes - 2 * self.resumed_bytes
        left = 2 * self.total_bytes - self.written_bytes - self.verified_bytes
        if self.verdict or done <= 0:
            return None
        return (time.monotonic() - self.writing_mono) * left / done

    @property
    def fraction(self) -> float:
        """Return how much of the work is done, 0 to 1; writing and verifying count alike."""
        if self.verdict == "verified":
            return 1.0
        return (self.written_bytes + self.verified_bytes) / max(2 * self.total_bytes, 1)
