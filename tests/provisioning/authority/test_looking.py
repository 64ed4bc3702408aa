"""Who looks, or tries dry, makes nothing: not even an empty register in a wrong folder."""

import json
from pathlib import Path

import pytest

from provisioning.__main__ import main

NO_AUTHORITY = "has no authority; run simpul authority init"
NO_REGISTER = "register.db: no register yet; run simpul authority init, or name one with --register"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder without authority and register."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inventory.ini").write_text("[nodes]\npasar-horas\n")
    (tmp_path / "x.csr").write_text("a request")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("authority export --dry-run", 1, NO_REGISTER),
        ("authority export", 1, NO_REGISTER),
        ("authority export --table card", 1, NO_REGISTER),
        ("authority status", 1, "no authority yet"),
        ("authority rotate mqtt --dry-run", 1, NO_AUTHORITY),
        ("authority rotate mqtt --finish --dry-run", 1, NO_AUTHORITY),
        ("authority revoke pasar-horas --dry-run", 1, NO_REGISTER),
        ("authority revoke pasar-horas", 1, NO_REGISTER),
        ("authority client x x.csr --dry-run", 0, "would certify x.csr for x"),
        ("enrol pasar-horas --playbook= --dry-run", 1, "run simpul flash pasar-horas"),
    ],
)
def test_looking_makes_no_register(
    folder: Path, capsys: pytest.CaptureFixture[str], line: str, code: int, words: str
) -> None:
    before = sorted(folder.iterdir())
    assert main(line.split()) == code
    told = capsys.readouterr()
    assert words in told.out + told.err
    assert sorted(folder.iterdir()) == before


def test_a_status_of_nothing_is_an_empty_list(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.iterdir())
    assert main(["authority", "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert sorted(folder.iterdir()) == before
