"""The hub over the years: its disk is lost, its certificate ends, a play is cut, a node goes."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from services.debian_server import why_no_server
from services.hub_machine import TAGS, HubMachine
from services.namespaced import why_no_namespaces
from services.provisioned import HUB, NODE, Played
from services.waiting import until

import provisioning.authority.x509 as papers

WHY_NOT = why_no_server() or why_no_namespaces()
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.timeout(900),
]
BROKER = ("hub.yml", "--tags", "mosquitto")
NO_PASSPHRASE = ("-e", "mosquitto_passphrase_file=")


def names(certificate: x509.Certificate) -> set[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(each.value) for each in found}


def days_left(certificate: x509.Certificate) -> int:
    return (certificate.not_valid_after_utc - datetime.now(UTC)) // timedelta(days=1)


def words_of(played: Played) -> str:
    """Return what was said in one line: Ansible folds long ones."""
    return " ".join(played.said.split())


def sign_for(hub: HubMachine, days: int, patch: pytest.MonkeyPatch) -> None:
    """Give the station a certificate of the broker's own key that ends in so many days."""
    key = "/etc/mosquitto/simpul/broker.key"
    request = hub.system.run("openssl", "req", "-new", "-key", key, "-subj", "/CN=localhost")
    # Two days more: certificates begin yesterday, and today has begun.
    patch.setattr(papers, "CERTIFICATE_DAYS", days + 2)
    signed = hub.station.signer().mqtt_broker(["localhost", "127.0.0.1"], request.stdout.encode())
    hub.broker_paper.write_bytes(signed)


def test_a_second_run_changes_nothing(hub: HubMachine) -> None:
    for words in ((), ("--check",)):
        played = hub.play("hub.yml", *TAGS, *words)
        assert (played.status, played.changed) == (0, {HUB: 0}), played.said[-6000:]


def test_a_hub_with_a_new_disk_gets_a_certificate_for_its_new_key(hub: HubMachine) -> None:
    before = hub.served().public_key()
    hub.system.run("systemctl", "stop", "mosquitto")
    hub.system.run("rm", "-r", "/etc/mosquitto/simpul", "/etc/mosquitto/conf.d/simpul.conf")
    played = hub.play(*BROKER)
    assert played.status == 0, played.said[-6000:]
    assert hub.served().public_key() != before
    client = hub.station.client("adam-malik")
    topic = "simpul/1/adam-malik/event/tamper"
    assert hub.mosquitto("mosquitto_pub", client, "-q", "1", "-m", "{}", "-t", topic) == 0
    played = hub.play(*BROKER)
    assert (played.status, played.changed) == (0, {HUB: 0}), played.said[-6000:]


def test_a_certificate_for_another_key_replaces_nothing(hub: HubMachine, tmp_path: Path) -> None:
    """Also one that a person put there by mistake, where nobody can sign."""
    before = hub.system.run("cat", "/etc/mosquitto/simpul/broker.pem").stdout
    (tmp_path / "kept").write_bytes(hub.broker_paper.read_bytes())
    client = hub.station.client("somebody")
    hub.broker_paper.write_bytes(Path(client["--cert"]).read_bytes())
    try:
        played = hub.play(*BROKER, *NO_PASSPHRASE)
    finally:
        hub.broker_paper.write_bytes((tmp_path / "kept").read_bytes())
    assert played.status != 0
    assert "is for another key" in words_of(played)
    assert "simpul authority broker" in words_of(played)
    assert hub.system.run("cat", "/etc/mosquitto/simpul/broker.pem").stdout == before


def test_the_certificate_follows_the_names(hub: HubMachine) -> None:
    renamed = '{"mosquitto_names": ["pusat.example", "localhost", "127.0.0.1"]}'
    checked = hub.play(*BROKER, "-e", renamed, "--check")
    assert (checked.status, checked.changed[HUB] > 0) == (0, True), checked.said[-6000:]
    played = hub.play(*BROKER, "-e", renamed)
    assert played.status == 0, played.said[-6000:]
    assert names(hub.served()) == {"pusat.example", "localhost", "127.0.0.1"}
    played = hub.play(*BROKER, "-e", renamed)
    assert (played.status, played.changed) == (0, {HUB: 0}), played.said[-6000:]
    assert hub.play(*BROKER).status == 0
    assert names(hub.served()) == {"localhost", "127.0.0.1"}


def test_the_certificate_is_renewed_two_months_before_it_ends(
    hub: HubMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_for(hub, 40, monkeypatch)
    played = hub.play(*BROKER, *NO_PASSPHRASE)
    assert played.status == 0, played.said[-6000:]
    assert "ends in 40 days" in words_of(played), "who cannot sign now is told"
    assert days_left(hub.served()) == 40
    monkeypatch.undo()
    played = hub.play(*BROKER)
    assert played.status == 0, played.said[-6000:]
    assert days_left(hub.served()) > 700


def test_a_broker_whose_certificate_ends_in_a_month_does_not_verify(
    hub: HubMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_for(hub, 20, monkeypatch)
    assert hub.play(*BROKER, *NO_PASSPHRASE).status == 0
    asked = ("--limit", HUB, "--start-at-task", "Ask the broker for its certificate")
    played = hub.play("verify.yml", *asked)
    assert played.status != 0
    assert "ends within 30 days" in words_of(played)
    monkeypatch.undo()
    assert hub.play(*BROKER).status == 0
    assert "ends within 30 days" not in words_of(hub.play("verify.yml", *asked))


def test_an_authority_that_is_retired_leaves_no_broker_behind(hub: HubMachine) -> None:
    authority = hub.station.authority
    passphrase = (hub.station.folder / "passphrase").read_bytes().strip()
    authority.rotate("mqtt", passphrase)
    hub.station.publish()
    before = hub.served().serial_number
    assert hub.play(*BROKER).status == 0
    assert hub.served().serial_number == before, "nodes may not know the new one yet"
    renamed = ("-e", '{"mosquitto_names": ["localhost"]}')
    issuer = hub.served().issuer
    assert hub.play(*BROKER, *renamed).status == 0
    assert names(hub.served()) == {"localhost"}
    assert hub.served().issuer == issuer, "nor is it shown by a new certificate"
    authority.retire("mqtt")
    hub.station.publish()
    played = hub.play(*BROKER)
    assert played.status == 0, played.said[-6000:]
    assert hub.served().serial_number != before
    client = hub.station.client("adam-malik")
    topic = "simpul/1/adam-malik/event/tamper"
    assert hub.mosquitto("mosquitto_pub", client, "-q", "1", "-m", "{}", "-t", topic) == 0


def test_a_revoked_broker_gets_another_key(hub: HubMachine) -> None:
    before = hub.served().public_key()
    hub.station.authority.revoke("localhost")
    hub.station.publish()
    stopped = hub.play(*BROKER, *NO_PASSPHRASE)
    assert stopped.status != 0
    assert "is revoked, and its key with it" in words_of(stopped)
    hub.system.run("systemctl", "restart", "mosquitto")
    assert hub.served().public_key() == before, "until another certificate is there"
    played = hub.play(*BROKER)
    assert played.status == 0, played.said[-6000:]
    assert hub.served().public_key() != before
    left = hub.system.run("ls", "-A", "/etc/mosquitto/simpul").stdout
    assert ".next" not in left
    played = hub.play(*BROKER)
    assert (played.status, played.changed) == (0, {HUB: 0}), played.said[-6000:]


def test_the_broker_is_nobody_and_takes_new_rules_up_all_the_same(hub: HubMachine) -> None:
    assert hub.shown("mosquitto.service", "User") == "mosquitto"
    before = hub.shown("mosquitto.service", "MainPID")
    status = hub.system.run("cat", f"/proc/{before}/status").stdout
    assert "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    ayu, operator = hub.station.client("ayu"), hub.station.client("kantor")
    topic = "simpul/1/pasar-horas/cmd"

    def may() -> bool:
        hub.mosquitto("mosquitto_pub", ayu, "-q", "1", "-r", "-m", "{}", "-t", topic)
        said = retained(hub, operator, topic)
        hub.mosquitto("mosquitto_pub", operator, "-q", "1", "-r", "-n", "-t", topic)
        return said

    assert not may()
    played = hub.play(*BROKER, "-e", '{"mosquitto_operators": ["kantor", "ayu"]}')
    assert played.status == 0, played.said[-6000:]
    until(may, "the new rules")
    assert hub.play(*BROKER).status == 0
    until(lambda: not may(), "the old rules")
    assert hub.shown("mosquitto.service", "MainPID") == before, "a reload is enough"
    # What it keeps, and what it says, have their places.
    hub.system.run("systemctl", "restart", "mosquitto")
    hub.system.run("test", "-s", "/var/lib/mosquitto/mosquitto.db")
    hub.system.run("test", "-s", "/var/log/mosquitto/mosquitto.log")


def test_the_revoked_are_put_out_though_the_play_was_cut_off(hub: HubMachine) -> None:
    client = hub.station.client("jalan-sutomo")
    message = ("-q", "1", "-m", "{}", "-t", "simpul/1/jalan-sutomo/event/tamper")
    assert hub.mosquitto("mosquitto_pub", client, *message) == 0
    hub.station.authority.revoke("jalan-sutomo")
    hub.station.publish()
    before = hub.shown("mosquitto.service", "MainPID")
    hub.cut_off(*BROKER, at="mosquitto : Say who may do what")
    published = (hub.station.folder / "published/mqtt.crl").read_text()
    assert hub.system.run("cat", "/etc/mosquitto/simpul/mqtt.crl").stdout == published
    assert hub.shown("mosquitto.service", "MainPID") == before
    checked = hub.play(*BROKER, "--check")
    assert (checked.status, checked.changed[HUB] > 0) == (0, True), checked.said[-6000:]
    assert hub.shown("mosquitto.service", "MainPID") == before
    played = hub.play(*BROKER)
    assert (played.status, played.changed[HUB] > 0) == (0, True), played.said[-6000:]
    assert hub.shown("mosquitto.service", "MainPID") != before
    assert hub.mosquitto("mosquitto_pub", client, *message) != 0
    played = hub.play(*BROKER)
    assert (played.status, played.changed) == (0, {HUB: 0}), played.said[-6000:]


def test_the_page_is_where_it_was_told_though_the_play_was_cut_off(hub: HubMachine) -> None:
    words = ("hub.yml", "--tags", "nginx", "-e", "nginx_http_port=8081")
    hub.cut_off(*words, at="nginx : Turn Debian's own page off")
    played = hub.play(*words)
    assert played.status == 0, played.said[-6000:]
    hub.system.run("curl", "-sf", "http://127.0.0.1:8081/")
    played = hub.play(*words)
    assert (played.status, played.changed) == (0, {HUB: 0}), played.said[-6000:]
    assert hub.play("hub.yml", "--tags", "nginx").status == 0


def test_a_page_with_a_certificate_is_verified_by_its_name(hub: HubMachine) -> None:
    run = hub.system.run
    public = "/var/lib/simpul-hub/public"

    def shown(cameras: str, minutes_old: int) -> None:
        written = f'{{"generated_at":"%Y-%m-%dT%H:%M:%S.5Z","cameras":[{cameras}]}}'
        line = f"date --utc --date='{minutes_old} minutes ago' '+{written}'"
        run("sh", "-ec", f"mkdir -p {public}; {line} > {public}/cameras.json")

    run("sh", "-ec", "echo 127.0.0.1 kota.example >> /etc/hosts")
    key, paper = "/etc/ssl/private/page.key", "/usr/local/share/ca-certificates/page.crt"
    run(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-nodes", "-days", "2", "-subj", "/CN=page", "-addext"),
        *("subjectAltName=DNS:kota.example", "-keyout", key, "-out", paper),
    )
    run("update-ca-certificates")
    settings: dict[str, object] = {"nginx_certificate": paper, "nginx_certificate_key": key}

    def verified(*names: str) -> bool:
        said = ("-e", json.dumps({**settings, "nginx_names": names, "nginx_https_port": 8443}))
        played = hub.play("hub.yml", "--tags", "nginx", *said)
        assert played.status == 0, played.said[-6000:]
        asked = ("--limit", HUB, "--start-at-task", "Read what citizens read")
        return hub.play("verify.yml", *asked, *said).status == 0

    try:
        shown("{}", 4)
        assert not verified("kota.example"), "nobody writes it any more"
        shown("", 4)
        assert verified("kota.example"), "no node was heard yet"
        shown("{}", 2)
        assert verified("kota.example")
        assert verified("_"), "whatever the name: the certificate's is not looked at"
        assert not verified("localhost", "kota.example"), "it has another name"
        run("rm", f"{public}/cameras.json")
        assert not verified("kota.example")
    finally:
        assert hub.play("hub.yml", "--tags", "nginx").status == 0


def test_the_database_is_restarted_though_the_play_was_cut_off(hub: HubMachine) -> None:
    place = "/etc/postgresql/17/main/conf.d/simpul.conf"
    hub.system.run("sh", "-c", f"echo '# by hand' >> {place}")
    words = ("hub.yml", "--tags", "postgresql")
    before = hub.shown("postgresql@17-main.service", "MainPID")
    hub.cut_off(*words, at="postgresql : Run the database")
    played = hub.play(*words)
    assert played.status == 0, played.said[-6000:]
    assert hub.shown("postgresql@17-main.service", "MainPID") != before
    played = hub.play(*words)
    assert (played.status, played.changed) == (0, {HUB: 0}), played.said[-6000:]


CLUSTER = "postgresql@17-main.service"


def answers(hub: HubMachine) -> bool:
    return hub.system.run("pg_isready", check=False).returncode == 0


def is_back(hub: HubMachine) -> bool:
    """Tell whether it answers, and systemd knows that: before, pg_ctlcluster stops it unseen."""
    return answers(hub) and hub.shown(CLUSTER, "ActiveState") == "active"


def verified_database(hub: HubMachine) -> bool:
    asked = "Ask the database whether it answers"
    said = hub.play("verify.yml", "--limit", HUB, "--start-at-task", asked).said
    assert f"TASK [{asked}]" in said, said[-6000:]
    return "TASK [Ask how the backups went]" in said


def test_a_database_that_dies_comes_back(hub: HubMachine) -> None:
    assert verified_database(hub)
    before = hub.shown(CLUSTER, "MainPID")
    hub.system.run("kill", "-KILL", before)
    until(lambda: not answers(hub), "the database's end")
    until(lambda: is_back(hub), "the database", seconds=60)
    assert hub.shown(CLUSTER, "MainPID") != before


def test_a_database_that_could_not_start_comes_back_when_it_can(hub: HubMachine) -> None:
    """Also after many tries: a disk stays full until somebody comes."""
    data = "/var/lib/postgresql/17/main/global"
    hub.system.run("systemctl", "stop", CLUSTER)
    hub.system.run("mv", data, f"{data}.away")
    hub.system.run("systemctl", "start", CLUSTER, check=False)
    assert not answers(hub)
    until(lambda: int(hub.shown(CLUSTER, "NRestarts")) >= 2, "two tries", seconds=60)
    hub.system.run("mv", f"{data}.away", data)
    until(lambda: is_back(hub), "the database", seconds=60)


def test_a_database_that_was_stopped_is_found_and_started(hub: HubMachine) -> None:
    hub.system.run("pg_ctlcluster", "17", "main", "stop")
    assert hub.shown("postgresql.service", "ActiveState") == "active", "Debian's umbrella"
    assert not verified_database(hub)
    words = ("hub.yml", "--tags", "postgresql")
    checked = hub.play(*words, "--check")
    assert (checked.changed[HUB] > 0, answers(hub)) == (True, False), checked.said[-6000:]
    played = hub.play(*words)
    assert (played.status, played.changed[HUB] > 0) == (0, True), played.said[-6000:]
    assert answers(hub)
    assert verified_database(hub)
    played = hub.play(*words)
    assert (played.status, played.changed) == (0, {HUB: 0}), played.said[-6000:]


def test_numbers_given_as_text_are_numbers(hub: HubMachine) -> None:
    text = ("-e", "mosquitto_connections_max=12000", "-e", "nginx_requests_per_second=30")
    played = hub.play("hub.yml", *TAGS, *text)
    assert (played.status, played.changed) == (0, {HUB: 0}), played.said[-6000:]
    assert hub.shown("mosquitto.service", "LimitNOFILE") == "24000"
    # One word for two would be taken letter by letter.
    played = hub.play(*BROKER, "-e", "mosquitto_operators=ayu")
    assert played.status != 0
    assert "mosquitto_operators has to be a list" in words_of(played)


def retained(hub: HubMachine, client: dict[str, str], topic: str) -> bool:
    words = ("-t", topic, "-C", "1", "-W", "2", "--retained-only")
    return hub.mosquitto("mosquitto_sub", client, *words) == 0


def test_a_node_that_vanishes_half_way_is_shut_out_and_forgotten(hub: HubMachine) -> None:
    node, operator = hub.station.client(NODE), hub.station.client("kantor")
    topic = f"simpul/1/{NODE}/state"
    message = ("-q", "1", "-m", "{}", "-t", topic)
    assert hub.mosquitto("mosquitto_pub", node, "-r", *message) == 0
    assert retained(hub, operator, topic)
    # It loses its network while its services are being stopped.
    unit = (
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=true\n"
        "ExecStop=systemctl kill --signal=KILL node-ssh.service\n"
    )
    put = f"printf '{unit}' > /etc/systemd/system/simpul-node.service; systemctl daemon-reload"
    hub.system.run("sh", "-ec", f"{put}; systemctl start simpul-node")
    tunnel = hub.station.folder / f"tunnel/{NODE}.pub"
    tunnel.parent.mkdir(exist_ok=True)
    tunnel.write_text("AAAA\n")
    secret = f"authority_passphrase_file={hub.station.folder / 'passphrase'}"
    played = hub.play("decommission.yml", "-e", f"decommission_node={NODE}", "-e", secret)
    assert "wipe its card" in words_of(played), played.said[-6000:]
    assert played.status == 0, played.said[-6000:]
    assert hub.shown("simpul-node.service", "ActiveState") == "inactive"
    assert not retained(hub, operator, topic)
    assert hub.mosquitto("mosquitto_pub", node, *message) != 0
    assert not tunnel.exists()


def test_nothing_of_what_was_set_up_is_left_on_the_node(hub: HubMachine) -> None:
    run = hub.system.run
    hub.station.client(NODE)
    state, mask = "/srv/simpul-state", "/srv/masks/street.toml"
    files = ("/etc/wireguard/simpul0.key", "/etc/wireguard/simpul0.conf", f"{state}/outbox.db",
             "/etc/wireguard/simpul0.nft", mask, "/etc/simpul/identity/mqtt.key")  # fmt: skip
    for file in files:
        run("sh", "-ec", f"mkdir -p {Path(file).parent}; echo content > {file}")
    units = ("simpul-follow.service", "wg-quick@simpul0.service")
    service = (
        "[Service]\nExecStart=sleep 1000\nRestart=always\n[Install]\nWantedBy=multi-user.target\n"
    )
    for unit in units:
        run("sh", "-ec", f"printf '{service}' > /etc/systemd/system/{unit}")
    run("rm", "-f", "/etc/systemd/system/simpul-node.service")
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", "--now", *units)
    run("systemctl", "restart", "node-ssh.service")
    places = f"agent_node_state_directory={state} agent_camera_mask_file={mask}"
    secret = f"authority_passphrase_file={hub.station.folder / 'passphrase'}"
    words = ("decommission.yml", "-e", f"decommission_node={NODE}", "-e", secret, "-e", places)
    played = hub.play(*words)
    assert played.status == 0, played.said[-6000:]
    assert "wipe its card" not in words_of(played), played.said[-6000:]

    def gone() -> bool:
        states = [hub.shown(unit, "ActiveState") for unit in units]
        left = run("ls", *files, check=False).stdout
        return not left and "active" not in states

    until(gone, "an end of the tunnel")
    enabled = run("systemctl", "is-enabled", *units, check=False).stdout.split()
    assert "enabled" not in enabled
    assert run("find", state, "/etc/simpul/identity", check=False).stdout.split() == [state]
    played = hub.play(*words)
    assert (played.status, {*played.changed.values()}) == (0, {0}), played.said[-6000:]
