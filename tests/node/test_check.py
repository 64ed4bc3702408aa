"""The check before the agent starts: real files, real certificates, every problem named."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.check import check, contradictions
from node.errors import SettingsError
from node.settings import Identity, NodeSettings, Uplink

unprivileged = pytest.mark.skipif(os.geteuid() == 0, reason="root may write and read everywhere")


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a CA, a node's certificate and key from it, a foreign key and an encrypted one."""
    directory = tmp_path_factory.mktemp("tls")
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    ca, key, request = (directory / name for name in ("ca.pem", "key.pem", "node.csr"))
    _openssl(
        "req", "-x509", *new_key, "-keyout", directory / "ca.key", "-out", ca, "-subj", "/CN=test"
    )
    _openssl("req", *new_key, "-keyout", key, "-out", request, "-subj", "/CN=pasar-horas")
    _openssl(
        *("x509", "-req", "-in", request, "-CA", ca, "-CAkey", directory / "ca.key"),
        *("-CAcreateserial", "-out", directory / "node.pem"),
    )
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", directory / "other.pem")
    _openssl("ec", "-in", key, "-aes128", "-passout", "pass:x", "-out", directory / "encrypted.pem")
    for each in directory.glob("*"):
        each.chmod(0o600)
    return directory


def _settings(state: Path, **uplink: object) -> NodeSettings:
    return NodeSettings(
        node=Identity(name="pasar-horas", state_directory=str(state)),
        uplink=Uplink(**{"brokers": ("mqtts://broker.example:8883",), **uplink}),
    )


def _problems(settings: NodeSettings) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        check(settings)
    return str(caught.value).splitlines()


def test_good_settings_pass_and_leave_nothing_behind(tmp_path: Path, tls: Path) -> None:
    files = {
        "ca_file": f"{tls}/ca.pem",
        "certificate_file": f"{tls}/node.pem",
        "key_file": f"{tls}/key.pem",
    }
    check(_settings(tmp_path, **files))
    check(_settings(tmp_path / "new" / "deep"))
    assert list(tmp_path.iterdir()) == []


def test_tls_without_files_leans_on_the_systems_authorities(tmp_path: Path) -> None:
    check(_settings(tmp_path))


@pytest.mark.parametrize(
    ("files", "key", "words"),
    [
        ({"ca_file": "absent.pem"}, "ca_file", "no such file"),
        ({"ca_file": "key.pem"}, "ca_file", "no certificate in PEM form"),
        ({"ca_file": "."}, "ca_file", "no such file"),
        ({"ca_file": "a\0b"}, "ca_file", "no such file"),
        ({"certificate_file": "node.pem"}, "key_file", "missing, though certificate_file"),
        ({"key_file": "key.pem"}, "certificate_file", "missing, though key_file"),
        (
            {"certificate_file": "node.pem", "key_file": "other.pem"},
            "key_file",
            "not the key of",
        ),
        (
            {"certificate_file": "node.pem", "key_file": "encrypted.pem"},
            "key_file",
            "without a passphrase",
        ),
        (
            {"certificate_file": "node.pem", "key_file": "ca.pem"},
            "key_file",
            "without a passphrase",
        ),
        (
            {"certificate_file": "key.pem", "key_file": "key.pem"},
            "certificate_file",
            "no certificate in PEM form",
        ),
    ],
)
def test_each_wrong_tls_file_is_named_once(
    tmp_path: Path, tls: Path, files: dict[str, str], key: str, words: str
) -> None:
    (problem,) = _problems(_settings(tmp_path, **{k: f"{tls}/{v}" for k, v in files.items()}))
    assert problem.startswith(f"uplink.{key}: ")
    assert words in problem


def test_a_key_that_others_may_read_is_refused(tmp_path: Path, tls: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes((tls / "key.pem").read_bytes())
    for mode in (0o640, 0o604, 0o620):
        key.chmod(mode)
        (problem,) = _problems(
            _settings(tmp_path, certificate_file=f"{tls}/node.pem", key_file=str(key))
        )
        assert f"mode {mode:o}" in problem
        assert "chmod 600" in problem


def test_every_problem_is_named_each_on_its_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    problems = _problems(
        _settings(
            tmp_path / "file",
            brokers=("mqtts://a:70000", "mqtts://a..b:1"),
            key_file="/nowhere/key.pem",
            backoff_min_seconds=9.0,
            backoff_max_seconds=2.0,
        )
    )
    assert [problem.split(":")[0] for problem in problems] == [
        "uplink.brokers",
        "uplink.brokers",
        "uplink.certificate_file",
        "uplink.backoff_max_seconds",
        "node.state_directory",
        "uplink.key_file",
    ]


@pytest.mark.parametrize(
    "broker", ["mqtt://127.0.0.1:1", "mqtts://[::1]:8883", "mqtts://mqtt.kota.example:65535"]
)
def test_addresses_that_exist_are_accepted(tmp_path: Path, broker: str) -> None:
    assert contradictions(_settings(tmp_path, brokers=(broker,))) == []


@pytest.mark.parametrize(
    "broker",
    ["mqtt://a:0", "mqtt://a:65536", "mqtt://[::1::]:1", "mqtt://.:1", "mqtt://-a:1"],
)
def test_addresses_that_cannot_exist_are_refused(tmp_path: Path, broker: str) -> None:
    (problem,) = contradictions(_settings(tmp_path, brokers=(broker,)))
    assert problem.startswith(f"uplink.brokers: {broker}: ")


def test_tls_files_beside_plain_brokers_are_a_mistake(tmp_path: Path) -> None:
    (problem,) = contradictions(
        _settings(tmp_path, brokers=("mqtt://a:1883",), ca_file="/etc/ca.pem")
    )
    assert "write mqtts://" in problem


def test_a_relative_path_is_refused(tmp_path: Path) -> None:
    (problem,) = contradictions(_settings(tmp_path, ca_file="ca.pem"))
    assert "begin it with /" in problem


@given(st.from_regex(r"mqtts?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}", fullmatch=True))
def test_every_address_of_the_pattern_is_judged_without_surprise(broker: str) -> None:
    assert all(
        problem.startswith("uplink.brokers: ")
        for problem in contradictions(_settings(Path("/nowhere"), brokers=(broker,)))
    )


@pytest.mark.parametrize("make", [Path.touch, os.mkfifo])
def test_a_state_directory_that_is_something_else_is_refused(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "state")
    for place in (tmp_path / "state", tmp_path / "state" / "below"):
        (problem,) = _problems(_settings(place))
        assert "is not a directory" in problem


def test_a_socket_as_certificate_is_refused_without_waiting(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "ca.pem"))
        (problem,) = _problems(_settings(tmp_path, ca_file=str(tmp_path / "ca.pem")))
    assert "no such file" in problem


def test_a_read_only_state_directory_is_refused() -> None:
    # sysfs lets nobody make a file, not even root.
    (problem,) = _problems(_settings(Path("/sys/kernel")))
    assert problem.startswith("node.state_directory: /sys/kernel: cannot be written: ")


@unprivileged
def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    (problem,) = _problems(_settings(tmp_path / "new"))
    assert "may not write to" in problem


def test_the_command_answers_by_its_exit_status(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    text = '[node]\nname = "a"\nstate_directory = "{}"\n[uplink]\nbrokers = ["mqtt://b:{}"]\n'
    for port, status in ((1883, 0), (99999, 2)):
        file.write_text(text.format(tmp_path, port))
        result = subprocess.run(
            [sys.executable, "-m", "node", "check", file],
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == status, result.stderr
        assert "Traceback" not in result.stderr
        assert ("port 99999" in result.stderr) == bool(status)
