"""What differs is worded from what Ansible, the records and the broker say."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.install.machine import Standing
from provisioning.drift.check import read_events
from provisioning.drift.differences import (
    Difference,
    Event,
    Rolled,
    of_event,
    of_hearing,
    of_release,
)
from provisioning.drift.errors import DriftError
from provisioning.update.rollout import Entry

OLD, NEW = "a" * 64, "b" * 64
KIND = {"platform": "aarch64", "python": "3.13"}


def standing(confirmed: str, **changed: object) -> Standing:
    values: dict[str, object] = {"status": "idle", "confirmed": confirmed, **KIND, **changed}
    return msgspec.convert(values, Standing)


def rolled(file: str, releases: dict[str, str], **states: str) -> Rolled:
    entries = {name: msgspec.convert({"state": state}, Entry) for name, state in states.items()}
    return Rolled(file=file, releases=releases, entries=entries)


UPDATE = rolled("1", {"aarch64/3.13": NEW}, n0="success", n1="cancelled", n2="pending")
BACK = rolled("2", {"leaving": NEW}, n0="success")


@pytest.mark.parametrize(
    ("node", "has", "records", "words"),
    [
        ("n0", NEW, [UPDATE], ""),
        ("n0", OLD, [UPDATE], f"has {OLD[:12]}, though 1 brought {NEW[:12]}"),
        ("n0", "", [UPDATE], f"has no release, though 1 brought {NEW[:12]}"),
        # Who was not reached by the rollout does not differ from what it left.
        ("n1", OLD, [UPDATE], ""),
        ("n2", OLD, [UPDATE], ""),
        ("n9", OLD, [UPDATE], ""),
        ("n0", OLD, [UPDATE, BACK], ""),
        ("n0", NEW, [UPDATE, BACK], f"has {NEW[:12]}, though 2 took it back from {NEW[:12]}"),
        ("n0", NEW, [UPDATE, BACK, UPDATE], ""),
        ("n0", OLD, [], ""),
    ],
)
def test_the_release_is_what_the_last_rollout_left(
    node: str, has: str, records: list[Rolled], words: str
) -> None:
    found = [each.words for each in of_release(node, standing(has), records)]
    assert found == ([words] if words else [])


def test_a_trial_and_a_dead_agent_are_told() -> None:
    now = standing(OLD, status="trial", release=NEW, message="runs", active=False)
    assert [each.words for each in of_release("n0", now, [])] == [
        f"trial of {NEW[:12]}: runs",
        "its agent does not run",
    ]


def test_a_changed_file_is_told_by_the_lines_that_differ() -> None:
    event = Event(
        node="n0",
        what="changed",
        task="agent : Configure the agent",
        place="/etc/simpul/node.toml",
        diffs=(("a = 1\nb = 2\n", "a = 1\nb = 3\n"),),
    )
    found = of_event(event)
    assert (found.kind, found.place) == ("settings", "/etc/simpul/node.toml")
    assert found.lines == ("@@ -2 +2 @@", "-b = 2", "+b = 3")


def test_who_does_not_answer_and_what_cannot_be_looked_at_are_differences() -> None:
    away = of_event(Event(node="n0", what="unreachable", task="x", words="no route to host"))
    assert (away.kind, away.words) == ("unreachable", "no route to host")
    broken = of_event(Event(node="n0", what="failed", task="Run the agent", words="no such unit"))
    assert (broken.kind, broken.words) == ("settings", "Run the agent: no such unit")


def test_strangers_and_the_silent_are_told() -> None:
    found = {(each.node, each.kind) for each in of_hearing(["a", "b"], ["b", "c"])}
    assert found == {("a", "unheard"), ("c", "unlisted")}


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_texts_are_compared(before: str, after: str) -> None:
    event = Event(node="n0", what="changed", task="t", diffs=((before, after),))
    found = of_event(event)
    assert isinstance(found, Difference)
    assert bool(found.lines) == (before.splitlines() != after.splitlines())


@given(st.binary(max_size=60))
def test_notes_that_nobody_wrote_are_refused(line: bytes) -> None:
    with pytest.raises(DriftError, match="cannot be read"):
        read_events([line])
