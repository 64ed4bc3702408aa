"""A node's site is where it stands: other groups it belongs to are none."""

from pathlib import Path

import pytest

from provisioning.inventory import InventoryError, nodes

STREET = """
[pasar_horas]
pasar-horas
pasar-horas-2

[taman_bunga]
taman-bunga

[siantar:children]
pasar_horas
taman_bunga

[nodes:children]
siantar
"""


def sites(folder: Path, text: str) -> dict[str, str]:
    file = folder / "inventory.ini"
    file.write_text(text)
    return {node.name: node.site for node in nodes(file)}


def test_groups_of_what_a_node_has_are_no_sites(tmp_path: Path) -> None:
    """However deep they lie, and whatever they are called: neighbours stay neighbours."""
    roles = """
[a_usb_radio]
pasar-horas

[with_radio:children]
a_usb_radio

[hotspots:children]
with_radio
pasar_horas
"""
    assert sites(tmp_path, STREET + roles) == {
        "pasar-horas": "pasar-horas",
        "pasar-horas-2": "pasar-horas",
        "taman-bunga": "taman-bunga",
    }


def test_a_node_below_nodes_alone_is_its_own_neighbour(tmp_path: Path) -> None:
    assert sites(tmp_path, "[nodes]\na\nb\n[with_cameras]\na\n") == {"a": "", "b": ""}


@pytest.mark.parametrize("parent", ["nodes", "siantar"])
def test_nobody_stands_at_two_sites(tmp_path: Path, parent: str) -> None:
    text = STREET + "[with_cameras]\npasar-horas\n"
    text = text.replace(f"[{parent}:children]\n", f"[{parent}:children]\nwith_cameras\n")
    with pytest.raises(
        InventoryError,
        match=r"pasar-horas stands at two sites, \[pasar_horas\] and \[with_cameras\]",
    ):
        sites(tmp_path, text)
