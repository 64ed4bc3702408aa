"""Programs lent to a root leave it as it was, with what was unpacked meanwhile in its place."""

import subprocess
from pathlib import Path

import pytest

from provisioning.image.native import lend, take_back

PYTHON = "3.13"
DIVERSIONS = "/usr/bin/foo\n/usr/bin/foo.distrib\ndash\n"


@pytest.fixture
def native(tmp_path: Path) -> Path:
    tree = tmp_path / "native"
    for folder in ("usr/bin", "usr/lib/x86_64-linux-gnu", "usr/lib64"):
        (tree / folder).mkdir(parents=True)
    (tree / "usr/lib64/ld-linux-x86-64.so.2").symlink_to("../lib/x86_64-linux-gnu/ld.so")
    (tree / "usr/lib/x86_64-linux-gnu/ld.so").write_text("native")
    words = lend(tree, PYTHON).partition("for name in ")[2].partition(";")[0].split()
    for name in words:
        (tree / "usr/bin" / name).write_text("native")
    return tree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    for folder in ("usr/bin", "var/lib/dpkg"):
        (made / folder).mkdir(parents=True)
    for name in ("dash", "perl", "uname"):
        (made / "usr/bin" / name).write_text("own")
    (made / "usr/bin/perl5.40.1").hardlink_to(made / "usr/bin/perl")
    (made / "var/lib/dpkg/diversions").write_text(DIVERSIONS)
    return made


def tree_of(root: Path) -> dict[str, tuple[str, int]]:
    return {
        str(file.relative_to(root)): (file.read_text(), file.stat().st_ino)
        for file in root.rglob("*")
        if file.is_file()
    }


def call(hook: str, root: Path) -> None:
    """Call a hook as mmdebstrap(1) does."""
    subprocess.run(["sh", "-c", hook, "exec", root], check=True)


def test_a_root_is_given_back_as_it_was(native: Path, root: Path) -> None:
    before = tree_of(root)
    call(lend(native, PYTHON), root)
    programs = root / "usr/bin"
    assert (programs / "dash").read_text() == "native"
    assert (programs / "dash.own").read_text() == "own"
    assert (programs / f"python{PYTHON}").read_text() == "native"
    assert (programs / "uname").read_text() == "own"
    assert not (programs / "cpio").exists()
    call(take_back(PYTHON), root)
    after = tree_of(root)
    diversions = after.pop("var/lib/dpkg/diversions"), before.pop("var/lib/dpkg/diversions")
    assert diversions[0][0] == diversions[1][0] == DIVERSIONS
    assert after == before
    assert sorted(path.name for path in root.iterdir()) == ["usr", "var"]


def test_what_dpkg_unpacks_meanwhile_stays(native: Path, root: Path) -> None:
    call(lend(native, PYTHON), root)
    diverted = (root / "var/lib/dpkg/diversions").read_text()
    assert f"/usr/bin/python{PYTHON}\n/usr/bin/python{PYTHON}.own\n:\n" in diverted
    for name in (f"python{PYTHON}.own", "dash.own", "cpio"):  # as dpkg(1) does with diversions
        (root / "usr/bin" / name).write_text("unpacked")
    call(take_back(PYTHON), root)
    found = {file.name: file.read_text() for file in (root / "usr/bin").iterdir()}
    wanted = {f"python{PYTHON}": "unpacked", "dash": "unpacked", "cpio": "unpacked"}
    assert found == {"uname": "own", "perl": "own", "perl5.40.1": "own", **wanted}
