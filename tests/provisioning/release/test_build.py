"""A release is the same wherever it is built, holds wheels of the target only, and runs."""

import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from services.releases import PLATFORM, Signers

from node.install.bundle import read_bundle
from node.install.lay_down import lay_down
from node.install.tree import broken_files
from provisioning.release.build import Built, Recipe, Target, build_release, parse_target
from provisioning.release.errors import BuildError
from provisioning.release.hub import build_hub_release
from provisioning.release.pack import make_delta, pack_tree
from provisioning.release.sign import sign_bundle

ROOT = Path(__file__).parents[3]
RASPBERRY = Target("aarch64", "3.13")
DESK = Target("x86_64", "3.11")
LEAN = Recipe(counter=7, version="0.1.0", video=False)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the tree, so that nobody edits it between two builds."""
    copy = tmp_path_factory.mktemp("source") / "simpul"
    copy.mkdir()
    for name in ("node", "hub", "provisioning"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "uv.lock", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def built(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Target, Built]:
    output = tmp_path_factory.mktemp("releases")
    done = build_release(output, LEAN, (RASPBERRY, DESK), source)
    return {each.target: each for each in done}


def test_building_elsewhere_gives_the_same_release(
    source: Path, built: dict[Target, Built], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "another" / "tree"
    shutil.copytree(source, elsewhere)
    for file in elsewhere.rglob("*.py"):
        file.chmod(0o600)
    (again,) = build_release(tmp_path / "out", LEAN, (RASPBERRY,), elsewhere)
    assert again.release == built[RASPBERRY].release
    assert again.bundle.read_bytes() == built[RASPBERRY].bundle.read_bytes()


def test_a_hubs_release_takes_no_nodes_place(
    source: Path, built: dict[Target, Built], tmp_path: Path
) -> None:
    bundle = Path(shutil.copy(built[DESK].bundle, tmp_path))
    hubs = build_hub_release(
        tmp_path, DESK, source, counter=LEAN.counter, version=LEAN.version, extras=("hub",)
    )
    assert hubs.bundle.name == bundle.name.replace("simpul-", "simpul-hub-", 1)
    assert bundle.read_bytes() == built[DESK].bundle.read_bytes()


@pytest.mark.parametrize(("target", "machine"), [(RASPBERRY, 183), (DESK, 62)])
def test_every_library_is_of_the_target(
    built: dict[Target, Built], target: Target, machine: int, tmp_path: Path
) -> None:
    lay_down(built[target].bundle, tmp_path)
    tree = (tmp_path / "opt/simpul/current").resolve()
    libraries = [each for each in tree.rglob("*.so*") if not each.is_symlink()]
    assert len(libraries) > 20
    for library in libraries:
        head = library.read_bytes()[:20]
        assert head[:4] == b"\x7fELF"
        assert int.from_bytes(head[18:20], "little") == machine, library  # e_machine, elf(5)
    assert not broken_files(tree)
    assert not [each for each in tree.rglob("*") if "provisioning" in each.parts]


def test_trixie_takes_lgpio_from_debian_and_bookworm_from_its_wheel(
    built: dict[Target, Built],
) -> None:
    def has_lgpio(target: Target) -> bool:
        files = read_bundle(built[target].bundle).manifest.files
        return any("site-packages/lgpio" in each.path for each in files)

    assert not has_lgpio(RASPBERRY)
    assert has_lgpio(DESK)


@pytest.mark.skipif(
    PLATFORM != "x86_64" or not Path("/usr/bin/python3.11").exists(),
    reason="running the release needs x86-64 and Debian 12's Python",
)
def test_what_was_laid_down_runs(built: dict[Target, Built], tmp_path: Path) -> None:
    signers = Signers()
    for key in signers.keys[:2]:
        sign_bundle(built[DESK].bundle, key)
    release = lay_down(built[DESK].bundle, tmp_path, trust=signers.trust)
    config = tmp_path / "node.toml"
    config.write_text(
        f'[node]\nname = "pasar-horas"\nstate_directory = "{tmp_path}/state"\n'
        '[uplink]\nbrokers = ["mqtt://127.0.0.1:1883"]\n'
        f'[camera]\nadapter = "rendered"\nmask_file = "{tmp_path}/mask.toml"\n'
    )
    (tmp_path / "mask.toml").write_text("nothing_to_mask = true\n")
    command = [str(tmp_path / "opt/simpul/current/bin/simpul-node"), "check", str(config)]
    # Called in a folder that has an agent of its own, it is the release that runs.
    other = tmp_path / "elsewhere"
    (other / "node").mkdir(parents=True)
    (other / "node/__init__.py").write_text("raise SystemExit('another agent')\n")
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60, cwd=other
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "opt/simpul/current").resolve().name == release
    # Running it has written nothing into it.
    assert not list((tmp_path / "opt/simpul").rglob("__pycache__"))


def test_a_changed_file_moves_few_bytes(built: dict[Target, Built], tmp_path: Path) -> None:
    base, root, tree = built[RASPBERRY].bundle, tmp_path / "root", tmp_path / "tree"
    lay_down(base, root)
    shutil.copytree(root / "opt/simpul/current/", tree, symlinks=True)
    (tree / "bin/python").unlink()
    (tree / "manifest.json").unlink()
    with (tree / "lib/python3.13/site-packages/node/agent.py").open("a") as file:
        file.write("# one more line\n")
    newer = pack_tree(tree, tmp_path, msgspec.structs.replace(read_bundle(base).manifest, files=()))
    delta = make_delta(newer.bundle, base, tmp_path / "delta")
    assert delta.stat().st_size <= 0.05 * newer.bundle.stat().st_size
    release = lay_down(delta, root)
    assert release == newer.release
    assert not broken_files(root / "opt/simpul/releases" / release)


def test_a_package_without_a_wheel_is_named(source: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"msgspec.* has no usable wheels"):
        build_release(tmp_path / "out", LEAN, (Target("aarch64", "3.9"),), source)


def test_a_target_that_is_none_is_explained() -> None:
    with pytest.raises(BuildError, match=r"'armv7/3\.13' is no target; choose from aarch64/3\.11"):
        parse_target("armv7/3.13")


def test_without_its_lock_nothing_is_built(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"no uv\.lock"):
        build_release(tmp_path / "out", LEAN, (RASPBERRY,), tmp_path)
