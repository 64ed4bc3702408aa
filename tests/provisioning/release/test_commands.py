"""`simpul release ...` at the desk: keys, signatures in turn, and mistakes in words."""

import json
from pathlib import Path

import pytest
from services.releases import SITE, small_bundle

from provisioning.__main__ import main

FILES = {"bin/simpul-node": b"#!/bin/sh\n", f"{SITE}/node/__init__.py": b'"""Is."""\n'}


@pytest.fixture
def passphrase_file(tmp_path: Path) -> Path:
    file = tmp_path / "passphrase"
    file.write_bytes(b"correct horse battery\n")
    file.chmod(0o600)
    return file


def test_info_says_what_a_bundle_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = small_bundle(tmp_path, FILES, counter=7, python="3.13", machine="aarch64")
    assert main(["release", "info", str(bundle), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["platform"], facts["python"], facts["counter"]) == ("aarch64", "3.13", 7)
    assert facts["whole"]
    assert facts["signed_by"] == []


def test_a_delta_is_told_from_a_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = small_bundle(tmp_path, FILES)
    newer = small_bundle(tmp_path, FILES | {"bin/more": b"#!/bin/sh\n:\n"}, counter=2)
    delta = tmp_path / "delta"
    assert main(["release", "delta", str(newer), str(base), f"--output={delta}"]) == 0
    capsys.readouterr()
    assert main(["release", "info", str(delta), "--json"]) == 0
    assert not json.loads(capsys.readouterr().out)["whole"]
    assert main(["release", "delta", str(newer), str(base), f"--output={base}"]) == 1
    assert "would replace what it is made of" in capsys.readouterr().err


def test_the_command_signs_in_turn_and_verifies(
    tmp_path: Path, passphrase_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = small_bundle(tmp_path, FILES)
    private = ["--passphrase-file", str(passphrase_file)]
    for name in ("siregar", "sinaga"):
        assert main(["release", "keygen", str(tmp_path / name), *private]) == 0
    publics = [str(tmp_path / f"{name}.pub") for name in ("siregar", "sinaga")]
    trust = tmp_path / "release-keys.toml"
    assert main(["release", "keys", *publics, "--threshold=2", f"--output={trust}"]) == 0
    verify = ["release", "verify", str(bundle), "--keys", str(trust)]
    sign = ["release", "sign", str(tmp_path), *private, "--key"]
    assert main([*sign, str(tmp_path / "siregar")]) == 0
    assert main(verify) == 1
    assert "1 of 2 signatures needed; have it signed" in capsys.readouterr().err
    assert main([*sign, str(tmp_path / "sinaga")]) == 0
    assert main(verify) == 0


def test_a_mistake_shows_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], passphrase_file: Path
) -> None:
    nothing = tmp_path / "nothing.bundle"
    for words in (
        ["release", "info", str(nothing)],
        ["release", "verify", str(nothing), "--keys", str(nothing)],
        ["release", "delta", str(nothing), str(nothing)],
        ["release", "sign", str(nothing), "--key=x", f"--passphrase-file={passphrase_file}"],
        ["release", "keys", str(nothing)],
        ["release", "keys"],
        ["release", "build", "--target=armv7/3.13"],
    ):
        assert main(words) == 1, words
        said = capsys.readouterr().err
        assert said.startswith("simpul: "), words
        assert "Traceback" not in said
