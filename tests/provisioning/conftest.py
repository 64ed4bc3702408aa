"""A fleet authority of its own for every test, made once and copied: its keys are slow to lock."""

import shutil
from pathlib import Path

import pytest

from provisioning.authority.authority import Authority
from provisioning.register import Register


@pytest.fixture(scope="session")
def passphrase() -> bytes:
    return b"kuda lumping menari"


@pytest.fixture(scope="session")
def _first_authority(tmp_path_factory: pytest.TempPathFactory, passphrase: bytes) -> Path:
    folder = tmp_path_factory.mktemp("station")
    Authority(folder / "authority", Register(folder / "register.db")).init(passphrase)
    return folder


@pytest.fixture
def authority(_first_authority: Path, tmp_path: Path) -> Authority:
    shutil.copytree(_first_authority, tmp_path, dirs_exist_ok=True)
    return Authority(tmp_path / "authority", Register(tmp_path / "register.db", who="tester"))
