"""The module that lays many files in one task does as Ansible's own would, file by file."""

import base64
import grp
import json
import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from services.program_file import load_program

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "playbooks/plugins/modules/simpul_files.py"
ME = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}
Lay = Callable[..., dict[str, Any]]


@pytest.fixture
def lay(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lay:
    """Run the module as a machine would; notes of what is pending lie in tmp_path too."""
    program = load_program(MODULE)
    monkeypatch.setattr(program, "_PENDING", f"{tmp_path}/pending-{{}}")
    # The note is root's, and so would be a folder; here they are whose the test is.
    monkeypatch.setitem(program._ENTRY, "owner", {"type": "str", "default": ME["owner"]})
    monkeypatch.setitem(program._ENTRY, "group", {"type": "str", "default": ME["group"]})
    monkeypatch.setattr(program, "_ROOT", (ME["owner"], ME["group"]))

    def run(
        *files: dict[str, Any], check: bool = False, diff: bool = True, **options: object
    ) -> dict[str, Any]:
        arguments = {
            "files": [*files],
            "_ansible_check_mode": check,
            "_ansible_diff": diff,
            **options,
        }
        with patch_module_args(arguments), pytest.raises(SystemExit) as ended:
            program.main()
        said: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert ended.value.code == int(said.get("failed", False))
        return said

    return run


def text(path: Path, content: str, mode: str = "0644", **more: object) -> dict[str, Any]:
    encoded = base64.b64encode(content.encode()).decode()
    return {"path": str(path), "base64": encoded, "mode": mode, **more}


def modes(*paths: Path) -> list[str]:
    return [f"{path.stat().st_mode & 0o7777:04o}" for path in paths]


def test_files_and_folders_come_in_one_go_and_once(lay: Lay, tmp_path: Path) -> None:
    folder, file = tmp_path / "a/b", tmp_path / "c/d/e.conf"
    old = os.umask(0o077)
    try:
        wanted = [{"path": str(folder), "mode": "0750"}, text(file, "one\n", "0640")]
        said = lay(*wanted)
    finally:
        os.umask(old)
    assert [each["path"] for each in said["laid"]] == [str(folder), str(file)]
    assert file.read_text() == "one\n"
    expected = ["0750", "0755", "0755", "0640"]
    assert modes(folder, folder.parent, file.parent, file) == expected
    again = lay(*wanted)
    assert (again["changed"], again["laid"], again["diff"]) == (False, [], [])


def test_only_what_differs_is_touched_and_told(lay: Lay, tmp_path: Path) -> None:
    same, other, opened = (tmp_path / name for name in ("same", "other", "opened"))
    lay(text(same, "s"), text(other, "before\n"), text(opened, "o"))
    stood = same.stat().st_ino, opened.stat().st_ino
    opened.chmod(0o666)
    said = lay(text(same, "s"), text(other, "after\n"), text(opened, "o"))
    assert [each["path"] for each in said["laid"]] == [str(other), str(opened)]
    content, attributes = said["diff"]
    assert (content["before"], content["after"]) == ("before\n", "after\n")
    assert (attributes["before"][-5:], attributes["after"][-5:]) == ("0666\n", "0644\n")
    assert (same.stat().st_ino, opened.stat().st_ino) == stood, "the content was right"
    assert modes(opened) == ["0644"]


def test_a_check_changes_nothing(lay: Lay, tmp_path: Path) -> None:
    nobody = text(tmp_path / "x", "x", owner="nobody-of-this-name")
    said = lay({"path": str(tmp_path / "new"), "mode": "0755"}, nobody, check=True, pending="p")
    assert said["changed"] is True
    assert [*tmp_path.iterdir()] == []


def test_a_secret_is_in_nothing_that_is_said(lay: Lay, tmp_path: Path) -> None:
    file = tmp_path / "settings"
    said = [lay(text(file, "secret-1\n", secret=True)), lay(text(file, "secret-2\n", secret=True))]
    assert file.read_text() == "secret-2\n"
    told = json.dumps(said)
    assert "secret-" not in told
    for content in ("secret-1\n", "secret-2\n"):
        assert base64.b64encode(content.encode()).decode() not in told


def test_what_has_to_be_taken_up_is_noted_before_the_first_change(lay: Lay, tmp_path: Path) -> None:
    note, file = tmp_path / "pending-p", tmp_path / "file"
    assert lay(pending="p")["changed"] is False
    assert not note.exists(), "nothing has changed"
    lay(text(file, "1"), text(tmp_path / "x", "y", owner="nobody-of-this-name"), pending="p")
    assert note.exists(), "cut off amid it"
    note.write_text("")
    said = lay(text(file, "1"), pending="p")
    assert said["changed"] is True
    assert [each["path"] for each in said["laid"]] == [str(note)]
    assert note.read_text() == "", "one that is there stays"
    note.unlink()
    assert lay(text(file, "1"), pending="p")["changed"] is False
    assert lay(pending="p", begin=True)["changed"] is False
    assert note.exists(), "something else is going to change"


def test_a_file_that_is_refused_replaces_nothing_and_leaves_nothing(
    lay: Lay, tmp_path: Path
) -> None:
    file = tmp_path / "sudoers"
    lay(text(file, "good\n"))
    judge = ["grep", "--quiet", "good", "%s"]
    said = lay(text(file, "bad\n", validate=judge))
    assert said["failed"] is True
    assert str(file) in said["msg"]
    assert "grep refuses" in said["msg"]
    assert file.read_text() == "good\n"
    assert [*tmp_path.iterdir()] == [file]
    assert lay(text(file, "good too\n", validate=judge))["changed"] is True


def test_a_link_that_others_could_put_there_is_not_followed(lay: Lay, tmp_path: Path) -> None:
    theirs, far = tmp_path / "theirs", tmp_path / "far"
    theirs.mkdir()
    far.mkdir(mode=0o700)
    place = theirs / "stills"
    place.symlink_to(far)
    theirs.chmod(0o777)
    said = lay({"path": str(place), "mode": "0755"})
    assert (said["failed"], str(place) in said["msg"]) == (True, True)
    assert modes(far) == ["0700"]
    theirs.chmod(0o755)
    assert lay({"path": str(place), "mode": "0755"})["changed"] is True
    assert (modes(far), place.is_symlink()) == (["0755"], True)


def test_what_stands_in_the_way_is_named_and_stays(lay: Lay, tmp_path: Path) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    file.write_text("mine")
    for said, place in (
        (lay(text(folder, "text")), folder),
        (lay({"path": str(file), "mode": "0755"}), file),
        (lay(text(file / "below", "text")), file),
    ):
        assert said["failed"] is True
        assert str(place) in said["msg"]
        assert "exception" not in said
    assert folder.is_dir()
    assert file.read_text() == "mine"


def test_a_link_is_replaced_by_the_file_and_kept_as_a_folder(lay: Lay, tmp_path: Path) -> None:
    elsewhere, link, room = tmp_path / "elsewhere", tmp_path / "link", tmp_path / "room"
    elsewhere.write_text("not ours\n")
    link.symlink_to(elsewhere)
    lay(text(link, "ours\n"))
    assert (link.is_symlink(), link.read_text()) == (False, "ours\n")
    assert elsewhere.read_text() == "not ours\n"
    (tmp_path / "disk").mkdir(mode=0o755)
    room.symlink_to(tmp_path / "disk")
    assert lay({"path": str(room), "mode": "0755"})["changed"] is False
    assert room.is_symlink()


def test_nobody_who_is_not_there_gets_anything(lay: Lay, tmp_path: Path) -> None:
    said = lay(text(tmp_path / "x", "x", owner="nobody-of-this-name"))
    assert said["msg"] == "this machine has no user or group nobody-of-this-name"
    assert [*tmp_path.iterdir()] == []


def test_a_folder_may_be_a_link_to_where_nothing_is_yet(lay: Lay, tmp_path: Path) -> None:
    place, target = tmp_path / "state", tmp_path / "disk/state"
    place.symlink_to(target)
    folder = {"path": str(place), "mode": "0700"}
    lay(folder, folder)
    assert place.is_symlink()
    assert modes(target) == ["0700"]


def test_what_is_missing_for_a_file_is_named_and_contents_are_not(lay: Lay, tmp_path: Path) -> None:
    file = tmp_path / "settings"
    for wrong in ({"validate": ["/nowhere/judge", "%s"]}, {"mode": None}):
        said = lay({**text(file, "secret-1\n"), **wrong})
        assert said["failed"] is True
        assert base64.b64encode(b"secret-1\n").decode() not in json.dumps(said)
    assert [*tmp_path.iterdir()] == []


PLAY = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.copy:
        content: "{{{{ item.content }}}}"
        dest: "{theirs}/{{{{ item.name }}}}"
        mode: "{{{{ item.mode }}}}"
      loop: "{{{{ wanted }}}}"
      register: theirs
    - simpul_files:
        files: "{{{{ laid }}}}"
      register: ours
    - ansible.builtin.copy:
        content: "{{{{ [theirs.results | map(attribute='changed') | list, ours] | to_json }}}}"
        dest: "{folder}/said"
        mode: "0600"
"""


def played(folder: Path, wanted: list[dict[str, str]]) -> tuple[list[str], list[str]]:
    """Return which files Ansible's own module changed, and which ours."""
    laid = [
        {"path": str(folder / "ours" / each["name"]), "content": each["content"], **ME}
        | {"mode": each["mode"]}
        for each in wanted
    ]
    (folder / "play.yml").write_text(PLAY.format(theirs=folder / "theirs", folder=folder))
    variables = json.dumps({"wanted": wanted, "laid": laid, "ansible_connection": "local"})
    line = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "here,", "-e", variables]
    done = subprocess.run(
        [*line, str(folder / "play.yml")],
        check=False,
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_HOME": str(folder / "a"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    changed, said = json.loads((folder / "said").read_text())
    names = [each["name"] for each in wanted]
    theirs = [name for name, is_changed in zip(names, changed, strict=True) if is_changed]
    return theirs, [Path(each["path"]).name for each in said["laid"]]


def test_it_does_what_ansibles_own_copy_does(tmp_path: Path) -> None:
    for side in ("ours", "theirs"):
        (tmp_path / side).mkdir()
    wanted = [
        {"name": "empty", "content": "", "mode": "0644"},
        {"name": "text", "content": "ä %}  \n\n", "mode": "0600"},
        {"name": "no-end", "content": "#!/bin/sh\nexit", "mode": "0755"},
    ]
    names = [each["name"] for each in wanted]
    assert played(tmp_path, wanted) == (names, names)
    assert played(tmp_path, wanted) == ([], [])
    for side in ("ours", "theirs"):
        (tmp_path / side / "text").write_text("another\n")
        (tmp_path / side / "no-end").chmod(0o700)
        (tmp_path / side / "empty").unlink()
    assert played(tmp_path, wanted) == (names, names)
    for name in names:
        theirs, ours = (tmp_path / side / name for side in ("theirs", "ours"))
        assert ours.read_bytes() == theirs.read_bytes()
        assert modes(ours) == modes(theirs)
