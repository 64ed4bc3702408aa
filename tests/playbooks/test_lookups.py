"""The lookups of the playbooks, called as Ansible calls them."""

from pathlib import Path
from types import ModuleType

import pytest
from ansible.errors import AnsibleError
from ansible.plugins.loader import lookup_loader
from services.program_file import load_program
from services.releases import Signers, small_bundle

ROOT = Path(__file__).parents[2]
PUBLISHED = {"ssh-user-ca.pub": b"ssh-ed25519 AAAA\n", "ssh-revoked.krl": b"SSHKRL\n\x00\xff"}


@pytest.fixture(autouse=True)
def loaded() -> None:
    lookup_loader.add_directory(str(ROOT / "playbooks/plugins/lookup"))


def unpack() -> ModuleType:
    return load_program(ROOT / "playbooks/roles/release/files/unpack.py")


def test_the_newest_release_of_the_right_kind_is_chosen(tmp_path: Path) -> None:
    signers = Signers().keys[:2]
    for counter, python in ((9, "3.13"), (10, "3.13"), (11, "3.11")):
        files = {"bin/simpul-node": b"%d" % counter}
        small_bundle(
            tmp_path, files, counter=counter, signers=signers, python=python, machine="aarch64"
        )
    lookup = lookup_loader.get("release")
    (found,) = lookup.run([str(tmp_path)], {}, platform="aarch64", python="3.13")
    assert found["counter"] == 10
    assert len(found["hash"]) == 64
    assert found["file"].endswith("-10-aarch64-py3.13.bundle")


@pytest.mark.parametrize("options", [{"platform": "x86_64"}, {"part": "simpul-hub"}])
def test_a_missing_release_is_told_with_the_command_that_makes_it(
    tmp_path: Path, options: dict[str, str]
) -> None:
    small_bundle(tmp_path, {"bin/simpul-node": b""}, machine="aarch64", python="3.13")
    wanted = {"platform": "aarch64", "python": "3.13", **options}
    with pytest.raises(AnsibleError, match=r"no release of .* simpul release (build|hub) "):
        lookup_loader.get("release").run([str(tmp_path)], {}, **wanted)


def test_a_damaged_bundle_is_told(tmp_path: Path) -> None:
    (tmp_path / "simpul-1-1-aarch64-py3.13.bundle").write_bytes(b"nothing")
    with pytest.raises(AnsibleError, match="not a release bundle"):
        lookup_loader.get("release").run([str(tmp_path)], {}, platform="aarch64", python="3.13")


def test_sshd_believes_what_was_published(tmp_path: Path) -> None:
    for name, content in PUBLISHED.items():
        (tmp_path / name).write_bytes(content)
    accounts = {"root": "provisioner"}
    found = lookup_loader.get("sshd").run([str(tmp_path)], {}, accounts=accounts)
    by_path = {each["path"]: each for each in found}
    assert by_path["/etc/ssh/simpul/revoked.krl"]["src"] == str(tmp_path / "ssh-revoked.krl")
    assert by_path["/etc/ssh/simpul/user-ca.pub"]["content"] == "ssh-ed25519 AAAA\n"
    assert by_path["/etc/ssh/simpul/principals/root"]["content"] == "provisioner\n"


def test_without_anything_published_the_next_step_is_told(tmp_path: Path) -> None:
    with pytest.raises(AnsibleError, match="run simpul authority publish"):
        lookup_loader.get("sshd").run([str(tmp_path)], {}, accounts={})


def test_a_bundle_is_unpacked_without_anything_of_ours(tmp_path: Path) -> None:
    files = {"bin/simpul-node": b"#!/bin/sh\n", "lib/empty": b"", "lib/a/b": b"content"}
    bundle = small_bundle(tmp_path / "bundles", files, counter=3)
    unpack().unpack(bundle, tmp_path / "out")
    assert (tmp_path / "out/lib/a/b").read_bytes() == b"content"
    assert (tmp_path / "out/lib/empty").read_bytes() == b""
    assert (tmp_path / "out/bin/simpul-node").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "out/bin/python").is_symlink()


@pytest.mark.parametrize("flip", [10, -4])
def test_a_damaged_bundle_is_not_unpacked(tmp_path: Path, flip: int) -> None:
    bundle = small_bundle(tmp_path / "bundles", {"lib/a": b"content" * 50}, counter=3)
    content = bytearray(bundle.read_bytes())
    content[flip] ^= 1
    bundle.write_bytes(content)
    with pytest.raises(SystemExit, match=r"not a release bundle|damaged"):
        unpack().unpack(bundle, tmp_path / "out")


def tunnel_ends(*ends: dict[str, str], network: str = "10.90.0.0/16") -> dict[str, str]:
    (found,) = lookup_loader.get("tunnel_ends").run(list(ends), {}, network=network)
    return dict(found)


def test_the_ends_of_a_tunnel_are_one_list() -> None:
    ends = ({"pusat": "10.90.0.1"}, {"pasar-horas": "10.90.0.7"}, {"ayu": "10.90.9.9"})
    assert tunnel_ends(*ends) == ends[0] | ends[1] | ends[2]
    assert tunnel_ends({"pusat": "fd90::1"}, network="fd90::/64") == {"pusat": "fd90::1"}


@pytest.mark.parametrize(
    ("ends", "network", "said"),
    [
        ([{"a": "10.90.0.7"}, {"b": "10.90.0.7"}], "10.90.0.0/16", "b and a have the same address"),
        ([{"a": "fd90::7"}, {"b": "fd90:0::7"}], "fd90::/64", "b and a have the same address"),
        ([{"a": "10.90.0.7"}, {"a": "10.90.0.8"}], "10.90.0.0/16", "a is the name of two ends"),
        ([{"ayu": "192.168.9.9"}], "10.90.0.0/16", "ayu: 192.168.9.9 lies outside"),
        ([{"ayu": "10.90.0.9"}], "fd90::/64", "ayu: 10.90.0.9 lies outside"),
        ([{"ayu": "10.90.0.9/32"}], "10.90.0.0/16", "is no address"),
        ([{"ayu": "10.90.0.9"}], "10.90.0.1/16", "tunnel_network: .* host bits"),
    ],
)
def test_two_ends_of_a_tunnel_never_share_an_address(
    ends: list[dict[str, str]], network: str, said: str
) -> None:
    with pytest.raises(AnsibleError, match=said):
        tunnel_ends(*ends, network=network)
