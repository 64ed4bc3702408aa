"""The bench's image is built anew when what it is made of has changed, and only then."""

from pathlib import Path

import pytest

from hil_tests.bench.errors import BenchError
from hil_tests.bench.image import image_for_bench, tree_key


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("images/layers", "node", "provisioning/image", "provisioning/release", "docs"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "tests/guest/virtual_camera").mkdir(parents=True)
    for name in ("pyproject.toml", "uv.lock", "node/agent.py", "docs/page.md"):
        (tmp_path / name).write_text("as it was\n")
    return tmp_path


@pytest.mark.parametrize("changed", ["node/agent.py", "uv.lock", "images/layers/new"])
def test_a_change_makes_another_image(project: Path, changed: str) -> None:
    before = tree_key(project)
    (project / changed).write_text("changed\n")
    assert tree_key(project) != before


def test_a_programs_mode_counts(project: Path) -> None:
    before = tree_key(project)
    (project / "node/agent.py").chmod(0o755)
    assert tree_key(project) != before


def test_nothing_else_does(project: Path) -> None:
    before = tree_key(project)
    (project / "docs/page.md").write_text("changed\n")
    (project / "node/__pycache__").mkdir()
    (project / "node/__pycache__/agent.pyc").write_bytes(b"")
    assert tree_key(project) == before


def test_an_image_that_is_named_is_taken(tmp_path: Path) -> None:
    image = tmp_path / "own.img"
    with pytest.raises(BenchError, match="no such image"):
        image_for_bench(image, variant="bench")
    image.touch()
    assert image_for_bench(image, variant="bench") == image
