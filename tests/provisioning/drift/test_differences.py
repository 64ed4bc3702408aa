"""What differs is worded from what Ansible, the records and the broker say."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.mosquitto import Mosquitto
from services.talker import Talker

from node.install.machine import Standing
from provisioning.drift.check import Play, check_nodes, read_notes
from provisioning.drift.differences import (
    NOBODY,
    Difference,
    Event,
    Rolled,
    of_event,
    of_hearing,
    of_release,
)
from provisioning.drift.errors import DriftError
from provisioning.drift.look import unheard_and_unlisted
from provisioning.inventory import Node
from provisioning.listen import BrokerAccess
from provisioning.update.rollout import Entry

OLD, NEW = "a" * 64, "b" * 64
ROOT = Path(__file__).parents[3]
KIND = {"platform": "aarch64", "python": "3.13"}


def standing(confirmed: str, **changed: object) -> Standing:
    values: dict[str, object] = {"status": "idle", "confirmed": confirmed, **KIND, **changed}
    return msgspec.convert(values, Standing)


def rolled(file: str, releases: dict[str, str], **states: str) -> Rolled:
    entries = {name: msgspec.convert({"state": state}, Entry) for name, state in states.items()}
    return Rolled(file=file, releases=releases, entries=entries)


UPDATE = rolled("1", {"aarch64/3.13": NEW}, n0="success", n1="cancelled", n2="pending")
BACK = rolled("2", {"leaving": NEW}, n0="success")
# What `simpul update-os` leaves, and a rollout to boards of another kind.
SYSTEM = rolled("3", {"os": "2026.2"}, n0="success")
OTHERS = rolled("4", {"x86_64/3.12": OLD}, n0="success")


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
        ("n0", OLD, [UPDATE, SYSTEM], f"has {OLD[:12]}, though 1 brought {NEW[:12]}"),
        ("n0", OLD, [UPDATE, OTHERS], f"has {OLD[:12]}, though 1 brought {NEW[:12]}"),
        ("n0", NEW, [BACK, SYSTEM], f"has {NEW[:12]}, though 2 took it back from {NEW[:12]}"),
        ("n0", NEW, [UPDATE, SYSTEM], ""),
        ("n0", OLD, [SYSTEM], ""),
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


def test_nobody_is_missed_who_may_not_have_been_heard() -> None:
    found = [*of_hearing(["a", "b"], ["b", "c"], whole=False)]
    assert [(each.node, each.kind) for each in found] == [("c", "unlisted"), (NOBODY, "unheard")]
    assert "--within" in found[1].words


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerAccess]:
    """Run a broker that knows "a" and the stranger "x", and gives their access."""
    with Mosquitto(tmp_path / "broker") as broker:
        for name in ("a", "x"):
            with Talker(broker.url, name) as talker:
                talker.birth()
        yield BrokerAccess(url=broker.url)


@pytest.mark.parametrize(
    ("only", "kinds"),
    [
        (None, {"b": "unheard", "c": "unheard", "x": "unlisted"}),
        (["a"], {}),
        (["a", "b"], {"b": "unheard"}),
    ],
)
def test_only_who_was_named_is_told_of(
    broker: BrokerAccess, only: list[str] | None, kinds: dict[str, str]
) -> None:
    listed = [Node(name=name) for name in "abc"]
    found = unheard_and_unlisted(listed, broker, only=only)
    assert {each.node: each.kind for each in found} == kinds


def checked(folder: Path, task: str) -> list[Difference]:
    """Have Ansible itself check this machine, by a play of one task."""
    (folder / "plugins").mkdir()
    (folder / "plugins/callback").symlink_to(ROOT / "playbooks/plugins/callback")
    playbook, inventory = folder / "play.yml", folder / "inventory.ini"
    playbook.write_text(f"- hosts: all\n  gather_facts: false\n  tasks:\n{task}")
    inventory.write_text("here ansible_connection=local\n")
    return check_nodes(Play(playbook=playbook, inventory=inventory), ["here"])


def test_a_file_that_is_no_text_does_not_stop_the_check(tmp_path: Path) -> None:
    (tmp_path / "latin.conf").write_bytes(b"caf\xe9\n")
    (found,) = checked(
        tmp_path,
        "    - name: Configure\n      ansible.builtin.copy:\n"
        f'        {{content: "new\\n", dest: {tmp_path / "latin.conf"}, mode: "0644"}}\n',
    )
    assert (found.node, found.words) == ("here", "Configure")
    assert found.lines == ("@@ -1 +1 @@", "-caf?", "+new")


def test_each_of_many_files_is_told(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("before\n")
    found = checked(
        tmp_path,
        "    - name: Configure\n      simpul_files:\n        files:\n"
        f'          - {{path: {old}, content: "after\\n", mode: "0644"}}\n'
        f'          - {{path: {new}, content: "", mode: "0644"}}\n',
    )
    assert [each.place for each in found] == [str(old), str(new)]
    assert found[0].lines[:3] == ("@@ -1 +1 @@", "-before", "+after")


def test_what_cannot_even_be_looked_at_is_told(tmp_path: Path) -> None:
    """Else a node whose check ended early would be as it should be."""
    folder = tmp_path / "in-the-way"
    folder.mkdir()
    (found,) = checked(
        tmp_path,
        "    - name: Configure\n      simpul_files:\n"
        f'        files: [{{path: {folder}, content: "", mode: "0644"}}]\n',
    )
    assert "Configure" in found.words
    assert f"{folder} is a folder" in found.words


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_texts_are_compared(before: str, after: str) -> None:
    event = Event(node="n0", what="changed", task="t", diffs=((before, after),))
    found = of_event(event)
    assert isinstance(found, Difference)
    assert bool(found.lines) == (before.splitlines() != after.splitlines())


@given(st.binary(max_size=60))
def test_a_note_that_nobody_wrote_is_told_and_the_others_are_read(line: bytes) -> None:
    good = msgspec.json.encode(Event(node="n0", what="changed", task="t"))
    bad, read = read_notes([line, good])
    assert (bad.node, bad.kind) == (NOBODY, "settings")
    assert "cannot be read" in bad.words
    assert (read.node, read.words) == ("n0", "t")


def test_a_playbook_that_cannot_be_read_is_no_fleet_without_differences(tmp_path: Path) -> None:
    with pytest.raises(DriftError, match="could not be checked"):
        checked(tmp_path, "    - name: Broken\n      no_such.collection.module: {}\n")
