"""Ctrl-C at the terminal reaches this program alone, and not those that it has just started."""

import os
import shutil
from pathlib import Path

import pytest

from provisioning.authority.ssh import make_krl
from provisioning.flash.fat import find_fat, seed_patches
from provisioning.flash.source import Source


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put before both programs one that notes its process group and becomes the program."""
    noted = tmp_path / "groups"
    (tmp_path / "bin").mkdir()
    for name in ("mcopy", "ssh-keygen"):
        script = tmp_path / "bin" / name
        script.write_text(
            "#!/bin/sh\n"
            "read -r _ _ _ _ group _ </proc/$$/stat\n"
            f'echo "{name} $group" >>{noted}\n'
            f'exec {shutil.which(name)} "$@"\n'
        )
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return noted


def test_programs_of_a_flash_have_a_group_of_their_own(source: Source, groups: Path) -> None:
    assert seed_patches(source, find_fat(source), {"meta-data": b"{}"})
    assert make_krl({}, number=1)
    noted = [line.split() for line in groups.read_text().splitlines()]
    assert [name for name, _ in noted] == ["mcopy", "ssh-keygen"]
    assert str(os.getpgrp()) not in [group for _, group in noted]
