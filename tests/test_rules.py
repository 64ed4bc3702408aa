"""The rules of the house, held by walking the imports; nothing is executed."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("node", "hub", "provisioning")

# Vendor package -> the only modules that may import it.
VENDORS = {
    "picamera2": {"node.camera.picamera2_sensor"},
    "libcamera": {"node.camera.picamera2_sensor"},
    "gpiozero": {"node.board.gpiozero_lines", "node.board.lgpio_lines"},
    "lgpio": {"node.board.lgpio_lines"},
    "av": {
        "node.camera.av_open",
        "node.camera.av_picture",
        "node.camera.v4l2_sensor",
        "node.camera.video_sensor",
    },
    "simplejpeg": {"node.camera.jpeg"},
    "pyroute2": {"node.hotspot.nl80211_message"},
    "paho": {
        "node.uplink.paho_link",
        "hub.collector.connection",
        "provisioning.listen",
    },
    "sqlalchemy": {"hub.store"},
    "amqtt": {"provisioning.demo.broker"},
    "pyudev": {"provisioning.flash.watch"},
    "zstandard": {"provisioning.flash.decode", "provisioning.seekable"},
}
SOURCES = ("node.camera", "node.hotspot", "node.health", "node.board")
# Who -> what it may not import of ours.
FORBIDDEN = {
    "node.messages": ("node", "hub", "provisioning"),
    **dict.fromkeys(SOURCES, ("node.uplink", "node.outbox", "node.agent")),
    "node.uplink": SOURCES,
    "node.outbox": (*SOURCES, "node.uplink"),
    "node": ("hub", "provisioning"),
    "hub": ("node", "provisioning"),
    "provisioning": ("node", "hub"),
}
ALLOWED = {
    "node.messages": ("node.messages",),
    "hub": ("node.messages",),
    # settings_file is the reading of settings: one language for mistakes in both.
    # install is the format of releases: one reader and writer of it at the desk and on the node.
    # durable knows nothing of nodes: one way to write what a power cut leaves whole.
    "provisioning": (
        "node.durable",
        "node.install",
        "node.messages",
        "node.settings",
        "node.settings_file",
    ),
}
# Load their vendor module at once; chosen by name like it.
USERS_OF_ADAPTERS = {"node.hotspot.nl80211_parse", "node.hotspot.nl80211_radio"}
TEXTS = {".py", ".toml", ".md", ".yml", ".sh", ".lock", ".service", ""}
BROAD_EXCEPT_IN = {"node.supervisor"}


def within(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def modules(root: Path) -> Iterator[tuple[str, ast.Module]]:
    for room in ROOMS:
        for file in sorted((root / room).rglob("*.py")):
            parts = file.relative_to(root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            yield name, ast.parse(file.read_text(), filename=str(file))


def imports(tree: ast.Module) -> Iterator[str]:
    for each in ast.walk(tree):
        if isinstance(each, ast.Import):
            yield from (alias.name for alias in each.names)
        elif isinstance(each, ast.ImportFrom) and each.module:
            yield each.module
            yield from (f"{each.module}.{alias.name}" for alias in each.names)


def broken_rules(root: Path) -> list[str]:
    """Return one line for every rule that a module below `root` breaks."""
    broken = []
    for name, tree in modules(root):
        for imported in set(imports(tree)):
            for room, never in FORBIDDEN.items():
                allowed = any(within(imported, each) for each in ALLOWED.get(room, ()))
                if within(name, room) and not allowed and imported not in ROOMS:
                    own_room = within(imported, room) and room in ROOMS
                    if any(within(imported, each) for each in never) and not own_room:
                        broken.append(f"{name} imports {imported}; {room} may not")
            for vendor, homes in VENDORS.items():
                if within(imported, vendor) and not any(within(name, home) for home in homes):
                    broken.append(f"{name} imports the vendor package {vendor}")
        broken += [f"{name}: {problem}" for problem in own_problems(name, tree)]
    return broken


def own_problems(name: str, tree: ast.Module) -> Iterator[str]:
    summary = (ast.get_docstring(tree) or "").split("\n", 1)[0]
    if not summary.endswith((".", ":")):
        yield "no docstring whose first line says what the module is for"
    for each in ast.walk(tree):
        broad = isinstance(each, ast.ExceptHandler) and (
            each.type is None
            or (isinstance(each.type, ast.Name) and each.type.id in {"Exception", "BaseException"})
        )
        # Cleaning up and raising again hides nothing.
        raises_again = (
            isinstance(each, ast.ExceptHandler)
            and isinstance(each.body[-1], ast.Raise)
            and each.body[-1].exc is None
        )
        if broad and not raises_again and name not in BROAD_EXCEPT_IN:
            yield "a broad except"


def test_the_house_keeps_its_rules() -> None:
    assert broken_rules(ROOT) == []


@pytest.mark.parametrize(
    ("module", "text", "words"),
    [
        ("hub/a.py", "from node.outbox.store import Store", "hub may not"),
        ("hub/a.py", "import node.settings", "hub may not"),
        ("provisioning/a.py", "from node.outbox.outbox import Outbox", "provisioning may not"),
        ("provisioning/a.py", "import hub.serve", "provisioning may not"),
        ("node/a.py", "import hub.serve", "node may not"),
        ("node/messages/a.py", "from node.errors import MaskError", "node.messages may not"),
        ("node/camera/a.py", "from node.uplink.link import Link", "node.camera may not"),
        ("node/camera/a.py", "def f():\n    import paho.mqtt.client", "vendor package paho"),
        ("node/uplink/a.py", "from node.health.source import HealthSource", "node.uplink may not"),
        ("node/a.py", "try:\n    pass\nexcept Exception:\n    pass", "a broad except"),
        ("node/a.py", "try:\n    pass\nexcept:\n    pass", "a broad except"),
    ],
)
def test_a_broken_rule_is_seen(tmp_path: Path, module: str, text: str, words: str) -> None:
    file = tmp_path / module
    file.parent.mkdir(parents=True)
    file.write_text(f'"""Is for a test."""\n\n{text}\n')
    assert any(words in line for line in broken_rules(tmp_path))


def test_a_module_without_purpose_is_seen(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "a.py").write_text("import json\n")
    assert "no docstring" in broken_rules(tmp_path)[0]


def test_everything_but_the_adapters_imports_on_any_laptop() -> None:
    adapters = {home for homes in VENDORS.values() for home in homes} | USERS_OF_ADAPTERS
    # numpy is the language of pictures, so the camera's inner rooms may want it; the agent not.
    plain = [
        name
        for name, _ in modules(ROOT)
        if within(name, "node")
        and not any(within(name, home) for home in adapters)
        and not within(name, "node.camera")
    ]
    plain += ["node.camera.source", "node.camera.check"]
    program = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {sorted({*VENDORS, "numpy"})}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import importlib
for name in {plain}:
    if not name.endswith("__main__"):
        importlib.import_module(name)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert result.returncode == 0, result.stderr


def test_nothing_is_left_undone_and_no_host_is_named() -> None:
    files = subprocess.run(
        ["git", "ls-files"], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout.split()
    # Put together here, so that this file does not find itself.
    undone = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    host = re.compile(
        r"py" + r"pi\.org|python" + r"hosted|deb\.deb" + r"ian\.org|registry\.np" + r"mjs"
    )
    for name in files:
        if (ROOT / name).is_file() and Path(name).suffix in TEXTS:
            text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
            assert not undone.search(text), name
            assert not host.search(text), name


class TestLock:
    """uv.lock pins what pyproject.toml asks for, and leaves the index to the machine."""

    def lock(self) -> dict[str, list[dict[str, object]]]:
        content: dict[str, list[dict[str, object]]] = tomllib.loads((ROOT / "uv.lock").read_text())
        return content

    def test_it_names_no_index(self) -> None:
        hosts = set(re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text()))
        assert hosts == {"index.invalid"}

    def test_it_is_of_this_project(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())
        (own,) = [each for each in self.lock()["package"] if each["name"] == "simpul"]
        locked = own["metadata"]["requires-dist"]  # type: ignore[index]
        asked = {*map(_name, project["project"]["dependencies"])}
        for extra in project["project"]["optional-dependencies"].values():
            asked |= {_name(each) for each in extra}
        assert {each["name"] for each in locked} | {"simpul"} == asked | {"simpul"}
        groups = own["metadata"]["requires-dev"]["dev"]  # type: ignore[index]
        assert {each["name"] for each in groups} == {
            _name(each) for each in project["dependency-groups"]["dev"]
        }
        for each in locked:
            wanted = [
                text
                for extra in (
                    project["project"]["dependencies"],
                    *project["project"]["optional-dependencies"].values(),
                )
                for text in extra
                if _name(text) == each["name"]
            ]
            if "specifier" in each and each["name"] != "simpul":
                assert any(_specifiers(text) == _specifiers(each["specifier"]) for text in wanted)

    def test_every_package_has_a_hash(self) -> None:
        for package in self.lock()["package"]:
            if "registry" in package.get("source", {}):  # type: ignore[operator]
                assert package.get("wheels") or package.get("sdist"), package["name"]


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9-]+", requirement)
    assert match
    return match[0]


def _specifiers(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[<>=!~]=?[0-9][0-9.a-z*]*", text.split(";", maxsplit=1)[0]))
