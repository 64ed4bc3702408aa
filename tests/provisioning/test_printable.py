"""What a node says reaches the technician's terminal as text, whichever view shows it."""

import io
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from node.messages import State
from provisioning import __main__ as simpul
from provisioning.audit.log import Deed
from provisioning.audit.show import audit_table
from provisioning.audit.verify import Entry
from provisioning.drift.differences import Difference
from provisioning.drift.show import drift_view
from provisioning.enrol.checklist import checklist
from provisioning.enrol.errors import EnrolError
from provisioning.enrol.show import checklist_json, checklist_table
from provisioning.fleet import NodeView
from provisioning.printable import printable
from provisioning.remote import tasks
from provisioning.table import fleet_json, fleet_table

# Renames the window, clears the screen, hides, answers for its user, writes backwards.
STEERS = "\x1b]0;mine\x07\x1b[2J\x9b8m\x1b[c\u202egnp\u202c\x7f"
SHOWN = r"\x1b]0;mine\x07\x1b[2J\x9b8m\x1b[c\u202egnp\u202c\x7f"
NOW = datetime(2026, 5, 1, tzinfo=UTC)
VIEW = NodeView(node="n", state=State(online=True, title=STEERS, site=STEERS, agent_version=STEERS))
CHECKS = checklist(VIEW, now=NOW, view_confirmed=None)
DEED = Deed(at=STEERS, who=STEERS, station="s", action="a", nodes=(STEERS,), outcome=STEERS)
LINES = (f"-{STEERS}", f"+{STEERS}", STEERS)


def drawn(view: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=2000, color_system=None)
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("view", "times"),
    [
        (lambda: fleet_table([VIEW], live=True, now=NOW), 3),
        (lambda: checklist_table("n", CHECKS), 1),
        (lambda: audit_table([Entry(number=1, deed=DEED)]), 3),
        (lambda: audit_table([Entry(number=1, deed=DEED, signed_by=STEERS, problem=STEERS)]), 3),
        (
            lambda: drift_view(
                [Difference(node="n", kind="settings", place=STEERS, words=STEERS, lines=LINES)]
            ),
            6,
        ),
    ],
    ids=["status", "checklist", "audit", "audit-broken", "drift"],
)
def test_a_view_shows_controls_and_obeys_none(
    view: Callable[[], RenderableType], times: int
) -> None:
    text = drawn(view())
    assert text.count(SHOWN) == times
    assert not [each for each in text if unicodedata.category(each) == "Cc" and each != "\n"]


def test_lines_show_controls_and_obey_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks._say(f"n: {STEERS}\n\tmore")

    def fail(_words: object) -> int:
        raise EnrolError(f"n at 192.0.2.1: {STEERS}")

    monkeypatch.setattr(simpul, "_run", fail)
    assert simpul.main([]) == 1
    said = capsys.readouterr()
    assert said.out == f"n: {SHOWN}\n\tmore\n"
    assert said.err == f"simpul: n at 192.0.2.1: {SHOWN}\n"


def test_for_programs_the_text_is_exact() -> None:
    for told in (fleet_json([VIEW]), checklist_json("n", CHECKS, good=False)):
        assert r"\u001b]0;mine\u0007\u001b[2J" in told
        assert "\u202egnp\u202c" in told


@given(st.text())
def test_any_text_is_made_fit_and_nothing_else_is_touched(text: str) -> None:
    shown = printable(text, keep="\n\t")
    shown.encode()
    assert not [each for each in shown if unicodedata.category(each) == "Cc" and each not in "\n\t"]
    if text.isprintable():
        assert shown == text


def test_names_of_every_script_stay_as_they_are() -> None:
    for name in ("Pematang Siantar", "ᯇᯔᯖᯰ", "سيانتار", "先達", "°C ✔"):
        assert printable(name) == name
    assert printable("a\nb\tc") == r"a\x0ab\x09c"
