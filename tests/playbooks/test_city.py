"""Hub and node on a real Debian under systemd: set up, left alone, verified, attacked, restored."""

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from services.debian_server import why_no_server
from services.namespaced import why_no_namespaces
from services.provisioned import HUB, NODE, OPERATOR
from services.waiting import until

if TYPE_CHECKING:
    from conftest import City

WHY_NOT = why_no_server() or why_no_namespaces()
pytestmark = [
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.timeout(1200),  # the first test makes the root, the release and the city
]
REFUSED_BY_ACL = 135  # MQTT 5.0, section 2.4: Not authorized


def mosquitto(
    city: "City", program: str, client: dict[str, str], *words: str
) -> subprocess.CompletedProcess[str]:
    """Run a client of the broker over TLS, as nodes do."""
    options = [word for pair in client.items() for word in pair]
    line = [*city.system.network, program, "-h", "localhost", "-p", "8883", *options, *words]
    return subprocess.run(line, check=False, capture_output=True, text=True, timeout=60)


def cameras(city: "City") -> dict[str, dict[str, object]]:
    line = ("curl", "--silent", "--fail", "http://127.0.0.1/cameras.json")
    page = city.system.run(*line, check=False)
    found = json.loads(page.stdout)["cameras"] if page.returncode == 0 else []
    return {camera["id"]: camera for camera in found}


def test_the_node_is_born_at_the_hub_and_seen_by_citizens(city: "City") -> None:
    assert (
        min(
            played.changed[host]
            for played, host in zip(city.first.values(), (HUB, NODE), strict=True)
        )
        > 10
    )
    until(lambda: NODE in cameras(city), "the node's birth", seconds=90)
    until(lambda: bool(cameras(city)[NODE]["still"]), "its first picture")
    assert cameras(city)[NODE]["state"] == "online"
    still = city.system.run(
        "curl",
        "-s",
        "-D",
        "-",
        "-o",
        "/dev/null",
        f"http://127.0.0.1/{cameras(city)[NODE]['still']}",
    )
    assert " 200 OK" in still.stdout
    assert "Cache-Control: public, max-age=86400, immutable" in still.stdout


@pytest.mark.parametrize(("playbook", "host"), [("hub.yml", HUB), ("site.yml", NODE)])
def test_a_second_run_changes_nothing(city: "City", playbook: str, host: str) -> None:
    played = city.play(playbook)
    assert (played.status, played.changed) == (0, {host: 0}), played.said[-6000:]


def test_it_verifies(city: "City") -> None:
    played = city.play("verify.yml")
    assert (played.status, played.changed) == (0, {HUB: 0, NODE: 0}), played.said[-6000:]


def installed(city: "City") -> dict[str, object]:
    """Return what the node's installer says of itself."""
    program = "/opt/simpul/current/bin/simpul-node"
    told: dict[str, object] = json.loads(
        city.system.run(program, "install", "status", "--json").stdout
    )
    return told


def test_a_new_release_comes_and_goes_by_playbooks(city: "City") -> None:
    first = str(installed(city)["confirmed"])
    city.station.release(2)
    played = city.play("update.yml")
    assert played.status == 0, played.said[-6000:]
    now = installed(city)
    assert (now["status"], now["counter"], now["active"]) == ("idle", 2, True)
    played = city.play("update.yml")
    assert (played.status, played.changed) == (0, {NODE: 0}), played.said[-6000:]
    second = f"rollback_leaving={now['confirmed']}"
    for changed in (1, 0):
        played = city.play("rollback.yml", "-e", second)
        assert (played.status, played.changed) == (0, {NODE: changed}), played.said[-6000:]
    assert installed(city)["confirmed"] == first
    # Whoever went back is not brought forward again by the playbook that mends drift.
    played = city.play("site.yml", "--tags", "release")
    assert (played.status, played.changed) == (0, {NODE: 0}), played.said[-6000:]


def test_a_rollback_from_nowhere_is_refused(city: "City") -> None:
    before = installed(city)["confirmed"]
    played = city.play("rollback.yml", "-e", "rollback_leaving=newest")
    assert played.status != 0
    assert "name the release to leave by its hash" in played.said
    assert installed(city)["confirmed"] == before


def test_the_units_are_on_as_in_an_image(city: "City") -> None:
    units = ("node.service", "install.service", "unprovisioned.service", "hotspot.target")
    names = [f"simpul-{unit}" for unit in units]
    enabled = city.system.run("systemctl", "is-enabled", *names, check=False).stdout.split()
    assert enabled == ["enabled"] * len(names)
    lamp = city.system.run("systemctl", "is-enabled", "simpul-lamp.service", check=False)
    assert lamp.stdout.strip() == "disabled"
    # What systemd would start at a boot: the agent is in it, and nothing drops it.
    planned = city.system.run(
        "systemd-analyze", "verify", "--man=no", "simpul-node.service", check=False
    )
    assert "simpul" not in planned.stderr, planned.stderr


def test_a_node_speaks_for_itself_only(city: "City") -> None:
    client = city.station.client("pasar-horas")
    words = ("-V", "mqttv5", "-q", "1", "-m", "{}", "-t")
    own = mosquitto(city, "mosquitto_pub", client, *words, "simpul/1/pasar-horas/event/tamper")
    assert (own.returncode, own.stderr) == (0, "")
    for topic in (f"simpul/1/{NODE}/state", f"simpul/1/{NODE}/cmd", "simpul/1/pasar-horas/cmd"):
        other = mosquitto(city, "mosquitto_pub", client, *words, topic)
        assert "Not authorized" in other.stderr, topic
    heard = mosquitto(city, "mosquitto_sub", client, "-t", "simpul/1/#", "-W", "3", "-v")
    assert heard.stdout == ""


def test_an_operator_hears_all_and_speaks_for_no_node(city: "City") -> None:
    client = city.station.client(OPERATOR)
    heard = mosquitto(city, "mosquitto_sub", client, "-t", f"simpul/1/{NODE}/state", "-C", "1")
    assert '"online":true' in heard.stdout
    words = ("-V", "mqttv5", "-q", "1", "-m", "{}", "-t", f"simpul/1/{NODE}/state")
    assert "Not authorized" in mosquitto(city, "mosquitto_pub", client, *words).stderr


def test_a_stranger_and_a_revoked_client_are_kept_out(city: "City") -> None:
    revoked, kept = city.station.client("jalan-sutomo"), city.station.client("adam-malik")
    words = ("-q", "1", "-m", "{}", "-t")
    for client, name in ((revoked, "jalan-sutomo"), (kept, "adam-malik")):
        topic = f"simpul/1/{name}/event/tamper"
        assert mosquitto(city, "mosquitto_pub", client, *words, topic).returncode == 0
    stranger = {"--cafile": revoked["--cafile"]}
    assert mosquitto(city, "mosquitto_pub", stranger, *words, "simpul/1/a/state").returncode != 0
    city.station.authority.revoke("jalan-sutomo")
    city.station.publish()
    played = city.play("hub.yml", "--tags", "mosquitto")
    assert played.status == 0, played.said[-6000:]
    topic = "simpul/1/jalan-sutomo/event/tamper"
    refused = mosquitto(city, "mosquitto_pub", revoked, *words, topic)
    assert refused.returncode != 0
    topic = "simpul/1/adam-malik/event/tamper"
    assert mosquitto(city, "mosquitto_pub", kept, *words, topic).returncode == 0
    log = city.system.run("cat", "/var/log/mosquitto/mosquitto.log").stdout
    assert "certificate verify failed" in log
    until(lambda: cameras(city)[NODE]["state"] == "online", "the node back at the broker")


def test_a_key_without_a_certificate_does_not_open_the_node(city: "City") -> None:
    bare = city.station.folder / "bare"
    bare.write_bytes(city.station.key.read_bytes())
    bare.chmod(0o600)
    options = ["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
    known = city.station.folder / "published/ssh-known-hosts"
    options += ["-o", f"UserKnownHostsFile={known}", "-o", f"HostKeyAlias={NODE}"]
    line = [*city.system.network, "ssh", *options, "-i", str(bare), "root@127.0.0.1", "true"]
    done = subprocess.run(line, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "Permission denied (publickey)" in done.stderr


def test_settings_that_the_agent_refuses_replace_nothing(city: "City") -> None:
    before = city.system.run("cat", "/etc/simpul/node.toml").stdout
    words = ("--tags", "agent", "--extra-vars")
    played = city.play("site.yml", *words, '{"agent_camera_widht": 640}')
    assert played.status != 0
    assert "camera.widht: this key is not known; is width meant?" in played.said
    played = city.play("site.yml", *words, '{"agent_camera_adapter": "polaroid"}')
    assert played.status != 0
    assert "agent_camera_adapter" in played.said
    assert city.system.run("cat", "/etc/simpul/node.toml").stdout == before
    assert city.system.run("systemctl", "is-active", "simpul-node").stdout.strip() == "active"


def test_a_backup_comes_back_after_the_database_is_lost(city: "City") -> None:
    run = city.system.run
    psql = ("runuser", "-u", "postgres", "--", "psql", "-qtAX", "-d", "simpul", "-c")
    run("systemctl", "start", "simpul-backup.service")
    run("systemctl", "start", "simpul-backup-check.service")
    told = run("journalctl", "-u", "simpul-backup-check.service", "-o", "cat").stdout
    assert "tables came back" in told
    run("systemctl", "stop", "simpul-collector.service")
    run("systemctl", "start", "simpul-backup.service")
    count = "SELECT count(*) FROM measurement"
    before = int(run(*psql, count).stdout)
    assert before > 0
    as_postgres = ("runuser", "-u", "postgres", "--")
    run(*as_postgres, "dropdb", "simpul")
    run(*as_postgres, "createdb", "--owner=simpul-hub", "--template=template0", "simpul")
    dumps = sorted(run("ls", "/var/backups/simpul").stdout.split())
    newest = f"/var/backups/simpul/{dumps[-1]}"
    run(*as_postgres, "/usr/local/lib/simpul/restore", "into", "simpul", newest)
    assert int(run(*psql, count).stdout) == before
    run("systemctl", "start", "simpul-collector.service")
    until(lambda: int(run(*psql, count).stdout) > before, "new measurements")


def test_an_old_backup_goes_only_when_a_new_one_is_there(city: "City") -> None:
    run = city.system.run
    old = "/var/backups/simpul/simpul-20200101T000000Z.dump"
    run("sh", "-c", f"echo old > {old} && touch -d 2020-01-01 {old} && chown postgres {old}")
    failed = run("runuser", "-u", "postgres", "--", "/usr/local/lib/simpul/backup",
                 "nothing", "/var/backups/simpul", "30", "0", check=False)  # fmt: skip
    assert failed.returncode != 0
    assert run("ls", old).returncode == 0
    run("systemctl", "start", "simpul-backup.service")
    assert run("ls", old, check=False).returncode != 0
    assert ".part" not in run("ls", "/var/backups/simpul").stdout
