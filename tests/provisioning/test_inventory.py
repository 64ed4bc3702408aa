"""inventory.ini is read as Ansible reads it, and a wrong name suggests the right one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.__main__ import main
from provisioning.inventory import InventoryError, Node, UnknownNodeError, find, nodes

ROOT = Path(__file__).parents[2]
TEXT = """\
[taman_bunga]
taman-bunga title="Taman Bunga" ansible_host=192.0.2.7
taman-bunga-2

[pasar_horas]
pasar-horas title="Pasar [Horas]"

[taman_bunga:vars]
title="Di taman"

[nodes:children]
taman_bunga
pasar_horas

[hub]
pusat
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "inventory.ini"
    file.write_text(text)
    return file


def test_every_node_is_read_with_its_site_title_and_address(tmp_path: Path) -> None:
    assert nodes(write(tmp_path, TEXT)) == [
        Node(name="taman-bunga", title="Taman Bunga", site="taman-bunga", address="192.0.2.7"),
        Node(name="taman-bunga-2", title="Di taman", site="taman-bunga"),
        Node(name="pasar-horas", title="Pasar [Horas]", site="pasar-horas"),
    ]


def test_variables_beside_the_file_count_as_they_do_for_ansible(tmp_path: Path) -> None:
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / "pasar-horas.yml").write_text("ansible_host: 192.0.2.9\n")
    read = {node.name: node.address for node in nodes(write(tmp_path, TEXT))}
    assert read["pasar-horas"] == "192.0.2.9"


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ("ansible_host=192.0.2.9 ansible_port=2222", "192.0.2.9:2222"),
        ("ansible_port=2222", "pasar-horas:2222"),
        ("ansible_port='{{ 2000 + 222 }}'", "pasar-horas:2222"),
        ("ansible_host=192.0.2.9 ansible_port=22", "192.0.2.9"),
        ("ansible_port=22", ""),
        ("ansible_host=192.0.2.9:2222", "192.0.2.9:2222"),
        ("ansible_host=2001:db8::9", "2001:db8::9"),
        ("ansible_host=2001:db8::9 ansible_port=2222", "[2001:db8::9]:2222"),
    ],
)
def test_a_port_of_its_own_is_part_of_the_address(
    tmp_path: Path, variables: str, address: str
) -> None:
    text = f"[pasar]\npasar-horas {variables}\n[nodes:children]\npasar\n"
    (node,) = nodes(write(tmp_path, text))
    assert node.address == address


def test_it_agrees_with_ansible_inventory_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    told = subprocess.run(
        [Path(sys.executable).with_name("ansible-inventory"), "-i", "inventory.ini", "--list"],
        check=True,
        capture_output=True,
        text=True,
    )
    listing = json.loads(told.stdout)
    sites = listing["nodes"]["children"]
    hosts = {name: site for site in sites for name in listing[site]["hosts"]}
    told_of = listing["_meta"]["hostvars"]
    assert {node.name: (node.title, node.site.replace("-", "_")) for node in nodes()} == {
        name: (told_of[name]["title"], site) for name, site in hosts.items()
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[hub]\npusat\n", "no group [nodes]"),
        ("[nodes]\nPasar_Horas\n", "'Pasar_Horas' cannot be a node"),
        ("[nodes]\n[[[\n", "inventory.ini"),
        ('[nodes]\na b="\n', "inventory.ini"),
        ("[nodes:children]\nnobody\n", "nobody"),
        ("\x00\xff", "inventory.ini"),
    ],
)
def test_a_bad_inventory_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    file = write(tmp_path, text)
    with pytest.raises(InventoryError) as caught:
        nodes(file)
    assert str(caught.value).startswith(str(file))
    assert words in str(caught.value) + capsys.readouterr().err


def test_a_missing_inventory_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="no such file; name one with --inventory"):
        nodes(tmp_path / "inventory.ini")


def test_a_name_is_as_long_as_a_host_name_at_most(tmp_path: Path) -> None:
    longest = "a" * 63
    assert nodes(write(tmp_path, f"[nodes]\n{longest}\n")) == [Node(name=longest)]
    with pytest.raises(InventoryError, match=r"'a{64}' has 64 characters; .* at most 63"):
        nodes(write(tmp_path, f"[nodes]\n{longest}a\n"))


@pytest.mark.parametrize(
    "text",
    [
        b'[nodes]\npasar title="Caf\xe9"\n',
        b"[nodes]\npasar ansible_host=caf\xe9.example\n",
        b"[caf\xe9]\npasar\n[nodes:children]\ncaf\xe9\n",
    ],
)
def test_what_is_no_text_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: bytes
) -> None:
    file = tmp_path / "inventory.ini"
    file.write_bytes(text)
    assert main(["nodes", "--json", "--inventory", str(file)]) == 1
    said = capsys.readouterr().err
    assert f"{file}: pasar: " in said
    assert "\\udce9" in said
    assert "is no text in UTF-8; save the file anew as UTF-8" in said


def test_an_inventory_that_may_not_be_read_is_explained(tmp_path: Path) -> None:
    """By a user who may not enter the folder, as a colleague's is."""
    folder = tmp_path / "locked"
    folder.mkdir()
    file = write(folder, "[nodes]\npasar-horas\n")
    folder.chmod(0)
    mine = os.geteuid()
    try:
        if mine == 0:
            os.seteuid(65534)  # nobody
        with pytest.raises(InventoryError, match=r"inventory\.ini: Permission denied"):
            nodes(file)
    finally:
        os.seteuid(mine)
        folder.chmod(0o700)


def test_a_name_that_no_file_can_have_is_explained(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="File name too long"):
        nodes(tmp_path / ("a" * 300))


def test_a_wrong_name_suggests_the_nearest() -> None:
    known = [Node(name="pasar-horas"), Node(name="taman-bunga")]
    with pytest.raises(UnknownNodeError, match=r"did you mean pasar-horas\?"):
        find(["pasar-hroas"], known)
    with pytest.raises(UnknownNodeError, match="add it to the inventory"):
        find(["x"], known)
    with pytest.raises(InventoryError, match="stands twice"):
        find(["taman-bunga", "taman-bunga"], known)


@given(st.lists(st.sampled_from("abcdef"), unique=True))
def test_nodes_come_in_the_order_asked_for(names: list[str]) -> None:
    known = [Node(name=each) for each in "abcdef"]
    assert [node.name for node in find(names, known)] == names
