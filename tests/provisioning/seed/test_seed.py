"""cloud-init, sshd and sudo accept what a seed brings, and no two cards share a secret."""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from provisioning.authority import ssh
from provisioning.authority.authority import Authority
from provisioning.authority.errors import AuthorityError
from provisioning.authority.tokens import token_hash
from provisioning.inventory import Node
from provisioning.register import Register
from provisioning.seed.seed import TOKEN_FILE, Seed, seed_node
from provisioning.seed.sshd import DIRECTORY
from provisioning.update.station import Access, ways_of

NODE = Node(name="pasar-horas", title="Pasar Horas")


def config_of(seed: Seed) -> dict[str, object]:
    heading, text = seed.files["user-data"].split(b"\n", 1)
    assert heading == b"#cloud-config"
    config: dict[str, object] = json.loads(text)
    return config


def files_of(seed: Seed) -> dict[str, tuple[str, bytes]]:
    listed: list[dict[str, str]] = config_of(seed)["write_files"]  # type: ignore[assignment]
    return {
        each["path"]: (each["permissions"], base64.b64decode(each["content"])) for each in listed
    }


def token_of(seed: Seed) -> str:
    return files_of(seed)[TOKEN_FILE][1].decode().strip()


@pytest.mark.skipif(shutil.which("cloud-init") is None, reason="cloud-init is not installed")
def test_cloud_init_itself_accepts_the_seed(authority: Authority, tmp_path: Path) -> None:
    file = tmp_path / "user-data"
    seed = seed_node(authority, NODE)
    file.write_bytes(seed.files["user-data"])
    check = ("cloud-init", "schema", "--config-file", str(file))
    told = subprocess.run(check, check=False, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "deprecat" not in (told.stdout + told.stderr).lower()
    file.write_bytes(seed.files["user-data"].replace(b'"lock_passwd": true', b'"lock_passwd": 7'))
    assert subprocess.run(check, check=False, capture_output=True).returncode != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="sshd -T reads a host key as root")
def test_sshd_itself_believes_the_authority_and_nobody_else(
    authority: Authority, tmp_path: Path
) -> None:
    seed = seed_node(authority, NODE)
    for path, (mode, content) in files_of(seed).items():
        file = tmp_path / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(int(mode, 8))
    key = tmp_path / "key"
    key.write_bytes(config_of(seed)["ssh_keys"]["ed25519_private"].encode())  # type: ignore[index]
    key.chmod(0o600)
    main = tmp_path / "sshd_config"
    # What Debian ships says the contrary; the first word on a matter counts.
    main.write_text(
        f"Include {tmp_path}/etc/ssh/sshd_config.d/*.conf\n"
        "PasswordAuthentication yes\nPermitRootLogin yes\nX11Forwarding yes\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    line = ["/usr/sbin/sshd", "-T", "-f", str(main), "-h", str(key)]
    told = subprocess.run(line, check=True, capture_output=True, text=True).stdout.splitlines()
    for words in (
        f"trustedusercakeys {DIRECTORY}/user-ca.pub",
        f"authorizedprincipalsfile {DIRECTORY}/principals/%u",
        f"revokedkeys {DIRECTORY}/revoked.krl",
        "authorizedkeysfile none",
        "passwordauthentication no",
        "kbdinteractiveauthentication no",
        "permitrootlogin without-password",
        "x11forwarding no",
    ):
        assert words in told
    sudoers = tmp_path / "etc/sudoers.d/simpul-enrol"
    subprocess.run(["visudo", "-c", "-f", sudoers], check=True, capture_output=True)
    trusted = f"{tmp_path}{DIRECTORY}/user-ca.pub"
    subprocess.run(["ssh-keygen", "-l", "-f", trusted], check=True, capture_output=True)


def test_eight_cards_of_one_batch_share_nothing_but_the_authority(authority: Authority) -> None:
    names = [f"simpang-{number}" for number in range(8)]
    seeds = [seed_node(authority, Node(name=name)) for name in names]
    assert len({token_of(seed) for seed in seeds}) == 8
    assert len({seed.host_public_key for seed in seeds}) == 8
    metas = [json.loads(seed.files["meta-data"]) for seed in seeds]
    assert len({meta["instance-id"] for meta in metas}) == 8
    assert [meta["local-hostname"] for meta in metas] == names
    assert all("-" in meta["instance-id"] for meta in metas)
    for name, seed in zip(names, seeds, strict=True):
        assert authority.register.host_keys(name) == {seed.host_public_key: "flashed"}


def test_a_card_flashed_again_is_a_new_instance_and_ends_the_older(authority: Authority) -> None:
    first, second = seed_node(authority, NODE), seed_node(authority, NODE)
    assert first.files["meta-data"] != second.files["meta-data"]
    assert list(authority.register.host_keys(NODE.name)) == [second.host_public_key]
    hashes = [row["hash"] for row in authority.register.rows("token")]
    assert hashes == [token_hash(token_of(second))]


def test_a_spare_card_does_not_cut_the_running_node_off(
    authority: Authority, tmp_path: Path
) -> None:
    """Updates believe what the register knows: its key, too, until the spare one is enrolled."""
    running = ssh.public_line(Ed25519PrivateKey.generate().public_key())
    authority.register.record_host_key(NODE.name, running, "confirmed")
    spare = seed_node(authority, NODE)
    assert authority.register.host_keys(NODE.name) == {
        spare.host_public_key: "flashed",
        running: "confirmed",
    }
    access = Access(
        inventory=tmp_path / "inventory.ini",
        register=authority.register.file,
        audit=tmp_path / "audit.jsonl",
    )
    assert ways_of([NODE], access)[NODE.name].host_keys == (spare.host_public_key, running)


def test_the_seed_holds_no_secret_but_token_and_throwaway_key(
    authority: Authority, passphrase: bytes
) -> None:
    seed = seed_node(authority, NODE)
    config = config_of(seed)
    key: dict[str, str] = config["ssh_keys"]  # type: ignore[assignment]
    private = load_ssh_private_key(key["ed25519_private"].encode(), None)
    assert ssh.public_line(private.public_key()) == seed.host_public_key  # type: ignore[arg-type]
    whole = b"".join(seed.files.values())
    whole += b"".join(content for _, content in files_of(seed).values())
    assert whole.count(b"PRIVATE KEY") == 2  # one key: its first and last line
    assert passphrase not in whole
    for file in authority.directory.iterdir():
        for line in file.read_bytes().splitlines()[2:-2]:
            assert line not in whole
    assert token_of(seed) not in authority.register.export_json()
    modes = {path: mode for path, (mode, _) in files_of(seed).items()}
    assert modes[TOKEN_FILE] == "0600"


def test_a_node_grants_no_root_beyond_the_enrolment(authority: Authority) -> None:
    config = config_of(seed_node(authority, NODE))
    users: list[dict[str, object]] = config["users"]  # type: ignore[assignment]
    assert [user["sudo"] for user in users] == [None]
    assert all(user["lock_passwd"] for user in users)
    assert config["ssh_pwauth"] is False
    assert config["ssh"] == {"emit_keys_to_console": False}


def test_without_an_authority_nothing_is_seeded(tmp_path: Path) -> None:
    none = Authority(tmp_path / "authority", Register(tmp_path / "register.db"))
    with pytest.raises(AuthorityError, match="run simpul authority init"):
        seed_node(none, NODE)
    assert none.register.host_keys(NODE.name) == {}
