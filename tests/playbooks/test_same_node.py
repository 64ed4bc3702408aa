"""A node that the playbooks made has the units, the files and the services of one from an image."""

import re
from pathlib import Path
from typing import Any

import yaml

from provisioning.image.definition import Layer, read_layer

ROOT = Path(__file__).parents[2]
ROLES = ROOT / "playbooks/roles"
LAYERS = ROOT / "images/layers"
UNITS = "usr/lib/systemd/system/"
# What may run on a stock system alone: images bring no unit for a single interface.
ONLY_ON_STOCK = {"wpa_supplicant@{{ hotspot_interface }}.service"}
FILES_ONLY_IN_IMAGES = {
    # First boot and its seed: a machine that Ansible reaches is past it.
    "/etc/cloud/cloud.cfg.d/90-simpul.cfg",
    # It has host keys and a network already.
    "/etc/systemd/system/ssh.service.d/10-simpul.conf",
    "/etc/systemd/network/80-wired.network",
    # The role makes the user itself.
    "/usr/lib/sysusers.d/simpul-technician.conf",
    "/usr/lib/tmpfiles.d/simpul.conf",
    # Two slots are what only an image has.
    "/usr/lib/simpul/shares",
    "/usr/lib/simpul/slot-state",
}


def variables(role: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROLES / role / "vars/main.yml").read_text())
    return read


def layer(name: str) -> Layer:
    return read_layer(LAYERS / name)


def image_units() -> dict[str, str]:
    """Return unit -> where it lies in the project's tree, of the layer of the agent."""
    found = {
        path.removeprefix(UNITS): source
        for path, source in layer("agent").project_files.items()
        if path.startswith(UNITS)
    }
    own = LAYERS / "agent/files" / UNITS
    files = (file for file in own.rglob("*") if file.is_file())
    return found | {str(file.relative_to(own)): str(file.relative_to(ROOT)) for file in files}


def said_in(script: Path, verb: str) -> set[str]:
    """Return the units that the script of a layer enables or masks; its loops are read too."""
    text = script.read_text()
    loops = dict(re.findall(r"for (\w+) in (.*?); do", text))
    words = re.findall(rf"systemctl {verb} (.*)", text)
    said = {word.strip('"') for line in words for word in line.split()}
    for name, values in loops.items():
        if f"${name}" in said:
            said = said - {f"${name}"} | {*values.split()}
    return said


def tasks(role: str) -> list[dict[str, Any]]:
    files = sorted((ROLES / role / "tasks").glob("*.yml"))
    return [task for file in files for task in yaml.safe_load(file.read_text())]


def test_the_units_are_the_same() -> None:
    read = variables("agent")
    folder, homes = "/etc/systemd/system/", {"agent_units", "agent_image_units"}
    ours = {}
    for file in read["agent_own_units"] + read["agent_other_units"]:
        if "src" not in file:
            continue  # a folder
        source = file["src"]
        for home in homes:
            source = source.replace(f"{{{{ {home} }}}}", read[home])
        ours[file["path"].removeprefix(folder)] = source.removeprefix("{{ playbook_dir }}/../")
    assert ours == image_units()


def test_every_unit_of_the_node_is_on_both() -> None:
    assert {*image_units()} >= {
        file.name
        for file in (ROOT / "node/units").iterdir()
        if file.suffix in {".service", ".target"}
    }


def test_the_same_units_are_turned_on() -> None:
    assert {*variables("agent")["agent_units_enabled"]} == said_in(LAYERS / "agent/run", "enable")


def test_the_same_services_of_packages_are_kept_off() -> None:
    masked = {
        unit
        for task in tasks("hotspot")
        if task.get("ansible.builtin.systemd_service", {}).get("masked")
        for unit in task["loop"]
    }
    assert masked - ONLY_ON_STOCK == said_in(LAYERS / "hotspot/run", "mask")
    assert masked >= ONLY_ON_STOCK, "an exception that no role needs"


def packages(role: str) -> set[str]:
    """Return what the role has installed."""
    return {
        name
        for task in tasks(role)
        if task.get("ansible.builtin.import_role") == {"name": "packages"}
        for name in task["vars"]["packages_names"]
    }


def test_the_access_point_has_the_same_programs() -> None:
    assert packages("hotspot") == {*layer("hotspot").packages}


def test_an_image_has_what_the_roles_ask_for() -> None:
    """Its root is read-only: what is missing there cannot be installed."""
    brought = {*layer("base").packages, *layer("hotspot").packages}
    for role in ("base", "tunnel"):
        assert packages(role)
        assert packages(role) <= brought, role


def test_what_is_settled_by_files_is_settled_by_the_same_files() -> None:
    ours = {
        file["path"]
        for role in ("base", "hardening")
        for file in variables(role)[f"{role}_files"]
        if {"src", "content"} & {*file}
    } | {variables("hardening")["hardening_shut"]}
    theirs = {
        f"/{file.relative_to(LAYERS / name / 'files')}"
        for name in ("base", "hardening")
        for file in (LAYERS / name / "files").rglob("*")
        if file.is_file()
    }
    assert ours == theirs - FILES_ONLY_IN_IMAGES
    assert theirs >= FILES_ONLY_IN_IMAGES, "an exception that no image needs"


def test_the_rules_of_udev_are_the_same() -> None:
    read, folder = variables("agent"), "usr/lib/udev/rules.d/"
    ours = {
        file["path"].removeprefix("/etc/udev/rules.d/"): file["src"]
        .replace("{{ agent_units }}", read["agent_units"])
        .removeprefix("{{ playbook_dir }}/../")
        for file in read["agent_udev_rules"]
        if "src" in file  # the other is their folder
    }
    theirs = {
        path.removeprefix(folder): source
        for path, source in layer("agent").project_files.items()
        if path.startswith(folder)
    }
    assert ours == theirs
    assert {*theirs} == {file.name for file in (ROOT / "node/units").glob("*.rules")}
