"""`simpul` reads what people write, suggests what they meant, and never shows a traceback."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fabric import task
from hypothesis import given
from hypothesis import strategies as st
from invoke import Collection, Context

from node.messages import SimpulError
from provisioning import __main__ as simpul
from provisioning.__main__ import COMMANDS, main, namespace
from provisioning.command.complete import candidates
from provisioning.command.errors import UsageError
from provisioning.command.help import task_help
from provisioning.command.trial import as_planned, told
from provisioning.command.words import Found, arguments_of, find_task, read_values

ROOT = Path(__file__).parents[3]


@task(  # type: ignore[untyped-decorator]
    iterable=["nodes"],
    positional=["nodes"],
    help={"image": "What is written.", "slots": "How many."},
)
def flash(
    _context: Context,
    nodes: list[str],
    image: str = "",
    slots: int = 8,
    rate: float = 0.5,
    verify: bool = True,  # noqa: FBT001, FBT002 - an option of the command line
    dry_run: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Write cards.

    The rest of the story.
    """


@task  # type: ignore[untyped-decorator]
def move(_context: Context, old: str, new: str) -> None:
    """Move something."""


def small() -> Collection:
    inner = Collection("inner")
    inner.add_task(move)
    made = Collection()
    made.add_task(flash)
    made.add_collection(inner)
    return made


def read(line: str) -> dict[str, object]:
    found = find_task(small(), line.split())
    assert isinstance(found, Found)
    return read_values(found)


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("flash", {}),
        ("flash a b c --slots 4", {"nodes": ["a", "b", "c"], "slots": 4}),
        ("flash --rate=1e3 a", {"nodes": ["a"], "rate": 1000.0}),
        ("flash --no-verify --dry-run", {"verify": False, "dry_run": True}),
        ("flash --image=", {"image": ""}),
        ("flash -- --odd-name", {"nodes": ["--odd-name"]}),
        ("inner move a b", {"old": "a", "new": "b"}),
        ("inner move --new b a", {"old": "a", "new": "b"}),
    ],
)
def test_words_become_values(line: str, values: dict[str, object]) -> None:
    assert read(line) == values


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("flsh", "has no command 'flsh'; did you mean flash?"),
        ("inner mvoe", "did you mean move?"),
        ("inner zzz", "see simpul inner --help"),
        ("flash --slot 3", "did you mean --slots?"),
        ("flash --slots", "--slots needs a value"),
        ("flash --slots --dry-run", "--slots needs a value"),
        ("flash --slots many", "'many' is no number"),
        ("flash --rate x", "'x' is no number"),
        ("flash --dry-run=yes", "takes no value"),
        ("inner move a", "NEW is missing"),
        ("inner move a b c", "'c' is one word too many"),
    ],
)
def test_a_wrong_word_is_explained(line: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(line)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "words", [["flash", "ay\udcff"], ["flash", "--image=\udcff"], ["inner", "move", "a", "\udcff"]]
)
def test_a_word_that_is_no_text_is_refused(words: list[str]) -> None:
    """As Python gives bytes of a command line that are no UTF-8 (PEP 383)."""
    found = find_task(small(), words)
    assert isinstance(found, Found)
    with pytest.raises(UsageError, match=r"'.*\\udcff' is no text in UTF-8"):
        read_values(found)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"flash {'a' * 256}", "'aaaaaaaaaaaaaaaaaaaaaaaa...' has 256 bytes"),
        (f"flash --image={'a' * 256}", "--image: 'aaaa"),
        (f"flash --image ../{'é' * 128}/card.img", "has 256 bytes; a name has at most 255"),
        (f"flash --image {'a/' * 2048}", "has 4096 bytes; a path has at most 4095"),
    ],
)
def test_what_nothing_can_be_called_is_refused(line: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(line)
    assert words in str(caught.value)


def test_the_longest_names_and_lists_are_taken() -> None:
    path = "/".join(["a" * 255] * 15)
    assert read(f"flash --image={path}") == {"image": path}
    setting = f"ssh.key=ssh-rsa+{'A' * 700}"
    assert read(f"flash --image {setting}") == {"image": setting}
    listed = ",".join(f"simpang-{number}" for number in range(1000))
    assert read(f"flash --image {listed}") == {"image": listed}


@given(st.lists(st.text(max_size=8) | st.sampled_from(["flash", "inner", "move", "--slots", "--"])))
def test_any_words_end_in_values_or_words(words: list[str]) -> None:
    try:
        found = find_task(small(), words)
        if isinstance(found, Found):
            read_values(found)
    except UsageError:
        pass
    candidates(small(), words)


def test_help_tells_options_defaults_and_the_whole_story() -> None:
    found = find_task(small(), ["flash"])
    assert isinstance(found, Found)
    for _ in range(2):  # Invoke forgets its help texts once they were read
        text = task_help(found)
        for words in (
            "Usage: simpul flash [NODES ...]",
            "The rest of the story.",
            "--slots N",
            "How many. Default: 8.",
            "--no-verify",
        ):
            assert words in text


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert "3 done, but not all is well" in listed
    for name in COMMANDS:
        assert f"  {name}" in listed
        assert main([name, "--help"]) == 0
        assert capsys.readouterr().out.startswith(f"Usage: simpul {name}")
    for name, inner in namespace([]).collections.items():
        for each in inner.tasks:
            assert main([name, each, "--help"]) == 0
            assert capsys.readouterr().out.startswith(f"Usage: simpul {name} {each}")


def test_every_command_can_be_tried_dry(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a --dry-run or --plan of its own, or by telling what would be run."""
    monkeypatch.chdir(ROOT)
    everything = namespace([])
    listed = dict(everything.tasks.items())
    for outer, inner in everything.collections.items():
        listed |= {f"{outer} {name}": each for name, each in inner.tasks.items()}
    for name, each in listed.items():
        found = Found(said=f"simpul {name}", task=each, rest=())
        options = arguments_of(each)
        if {"--dry-run", "--plan"} & {*options}:
            continue
        places = [argument for argument in options.values() if argument.positional]
        assert main([*name.split(), *("pasar-horas" for _ in places), "--dry-run"]) == 0
        assert capsys.readouterr().out.startswith(f"would run {found.said}: ")


def test_a_trial_is_told_with_its_values() -> None:
    found = find_task(small(), ["inner", "move", "a", "--dry-run", "b"])
    assert isinstance(found, Found)
    assert told(found) == "would run simpul inner move: Move something.\n  old = a\n  new = b"
    wrong = find_task(small(), ["inner", "move", "a", "--dry-run"])
    assert isinstance(wrong, Found)
    with pytest.raises(UsageError, match="NEW is missing"):
        told(wrong)


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("reboot pasar-hroas --dry-run", 1, "did you mean pasar-horas?"),
        ("reboot pasar-horas no-such-node --dry-run", 1, "'no-such-node' is not in the inventory"),
        ("shell --dry-run taman-bnga", 1, "did you mean taman-bunga?"),
        ("status --drift --nodes pasar-horas,taman-bnga --dry-run", 1, "did you mean taman-bunga?"),
        ("reboot pasar-horas --inventory /none --dry-run", 1, "no such file"),
        ("logs pasar-horas taman-bunga --dry-run", 0, "would run simpul logs"),
    ],
)
def test_a_trial_looks_the_nodes_up(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(line.split()) == code
    said = capsys.readouterr()
    assert words in said.out + said.err


def test_a_plan_is_a_trial_under_another_name() -> None:
    found = find_task(namespace(["update"]), ["update", "--dry-run"])
    assert isinstance(found, Found)
    planned = as_planned(found)
    assert planned is not None
    assert planned.rest == ("--plan",)
    moving = find_task(small(), ["inner", "move", "--dry-run"])
    assert isinstance(moving, Found)
    assert as_planned(moving) is None


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("--version", 0, "simpul 0."),
        ("nodes --inventory /none", 1, "no such file"),
        ("nodes --invntory x", 2, "did you mean --inventory?"),
        ("nosuch", 2, "no command 'nosuch'"),
        ("--nosuch", 2, "no command '--nosuch'"),
        ("enrol", 2, "NODE is missing"),
        ("enrol pasar-hroas", 1, "did you mean pasar-horas?"),
        ("demo --port lima", 2, "'lima' is no number"),
        ("--print-completion-script tcsh", 2, "not supported"),
        ("identify pasar-horas --seconds 900", 2, "--seconds 900: a lamp blinks for more than 0"),
        ("identify pasar-horas --seconds 0", 2, "and at most 600 s"),
        ("identify pasar-horas --seconds nan", 2, "--seconds nan: a lamp blinks"),
        ("identify pasar-horas --within inf", 2, "--within inf: write seconds"),
        ("snapshot pasar-horas --within 1e300", 2, "more than 0 and at most 86400"),
        ("confirm-view pasar-horas --within 0", 2, "--within 0: write seconds"),
        ("reboot pasar-horas --within nan", 2, "--within nan: write seconds"),
    ],
)
def test_the_real_command_says_what_is_wrong(line: str, code: int, words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "provisioning", *line.split()],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == code
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["nodes", "--inventory", "a" * 300],
        ["seed", "taman-bunga", "--to", "a" * 300],
        ["enrol", "taman-bunga", "--playbook", "a" * 300],
        ["authority", "technician", "ay\udcff", "id.pub"],
        ["authority", "export", "--register", "\udcff"],
    ],
)
def test_impossible_names_end_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "a name has at most 255" in said or "is no text in UTF-8" in said


def test_a_reader_who_has_enough_sees_no_traceback() -> None:
    line = f"{sys.executable} -m provisioning --help | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode in {0, 141}  # 0 when the answer went before the reader did
    assert done.stderr == ""


@pytest.mark.parametrize("words", [["--help"], ["nodes", "--json"]])
def test_an_answer_that_finds_no_room_is_explained(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "provisioning", *words],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
    assert done.returncode == 1
    assert done.stderr == (
        "simpul: the answer is not whole: standard output: No space left on device\n"
    )


def test_an_error_of_something_else_is_not_taken_for_one_of_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_words: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(simpul, "_run", fail)
    with pytest.raises(OSError, match="No space left"):
        simpul.main([])


def test_nodes_are_listed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nodes", "--json", "--inventory", str(ROOT / "inventory.ini")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {
        "name": "taman-bunga",
        "title": "Taman Bunga",
        "site": "taman-bunga",
        "address": "",
    } in told
    assert main(["nodes", "--inventory", str(ROOT / "inventory.ini")]) == 0
    assert "Taman Bunga" in capsys.readouterr().out


def test_errors_are_of_the_house() -> None:
    assert issubclass(UsageError, SimpulError)
    assert issubclass(UsageError, ValueError)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("simpul en", ["enrol"]),
        ("simpul authority ro", ["rotate"]),
        ("simpul enrol pas", ["pasar-horas"]),
        ("simpul enrol pasar-horas --inv", ["--inventory"]),
    ],
)
def test_bash_completes(tmp_path: Path, typed: str, offered: list[str]) -> None:
    """The script is sourced by a real bash, whose own function then fills COMPREPLY."""
    command = tmp_path / "simpul"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m provisioning "$@"\n')
    command.chmod(0o755)
    words = typed.split(" ")
    program = f"""
source <(simpul --print-completion-script bash)
COMP_WORDS=({" ".join(words)})
_complete_simpul simpul '{words[-1]}' '{words[-2]}'
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert [line for line in done.stdout.splitlines() if line] == offered


def test_a_value_is_completed_by_the_shells_own_files() -> None:
    assert candidates(small(), ["flash", "--image"]) == []
    assert candidates(small(), ["flash", "--image", "car"]) == []
    assert "--image" in candidates(small(), ["flash", "--dry-run"])
    assert candidates(small(), ["inner"]) == ["move"]
