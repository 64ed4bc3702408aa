"""Releases are numbered by their commits, where git knows all of them."""

import subprocess
from pathlib import Path

import pytest

from provisioning.release.build import counter_of
from provisioning.release.errors import BuildError


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=siregar", "-c", "user.email=siregar@siantar.example")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a repository of three commits."""
    folder = tmp_path / "source"
    folder.mkdir()
    git(folder, "init")
    for number in range(3):
        git(folder, "commit", "--allow-empty", "-m", f"{number}")
    return folder


def test_it_is_how_many_commits_there_are(source: Path) -> None:
    assert counter_of(source) == 3


def test_a_shallow_clone_does_not_count_what_it_has_not(source: Path, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--depth", "2", f"file://{source}", str(shallow))
    with pytest.raises(BuildError, match=r"shallow clone.*name a --counter, or fetch the rest"):
        counter_of(shallow)
    git(shallow, "fetch", "--unshallow")
    assert counter_of(shallow) == 3


def test_without_git_a_counter_is_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="git counts no commits here; name a --counter"):
        counter_of(tmp_path)
