"""The register keeps what several stations write at once, and tells it as JSON and CSV."""

import csv
import io
import itertools
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from provisioning.register import TABLES, Card, Register, RegisterError, RevokedError

CARD = Card(
    node="pasar-horas",
    slot="1-4.2",
    device="/dev/sdb",
    serial='a,"b',
    image_sha256="0" * 64,
    fingerprints=("SHA256:a", "SHA256:b"),
    verdict="verified",
)
_STATION = """
import sys
from pathlib import Path
from provisioning.register import Register
register = Register(Path(sys.argv[1]), who=sys.argv[2])
for number in range(25):
    register.record_host_key(sys.argv[2], f"ssh-ed25519 {number}", "flashed")
"""


def test_a_card_is_told_as_json_and_csv(tmp_path: Path) -> None:
    register = Register(tmp_path / "register.db", who="ayu")
    register.record_card(CARD)
    told = json.loads(register.export_json())
    assert set(told) == set(TABLES)
    (card,) = told["card"]
    assert (card["node"], card["who"], card["slot"]) == ("pasar-horas", "ayu", "1-4.2")
    (row,) = csv.DictReader(io.StringIO(register.export_csv("card")))
    assert row["serial"] == 'a,"b'
    assert row["fingerprints"] == "SHA256:a SHA256:b"
    assert register.export_csv("token") == ""


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "register.db"
    Register(file).record_card(CARD)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_register_made_under_sudo_belongs_to_the_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SUDO_UID", "1234"), ("SUDO_GID", "1235"), ("SUDO_USER", "ayu")):
        monkeypatch.setenv(name, value)
    register = Register(tmp_path / "register.db")
    register.record_card(CARD)
    found = register.file.stat()
    assert (found.st_uid, found.st_gid) == (1234, 1235)
    assert register.who == "ayu"


def test_stations_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "register.db"
    stations = [
        subprocess.Popen([sys.executable, "-c", _STATION, str(file), name]) for name in "abc"
    ]
    assert [station.wait() for station in stations] == [0, 0, 0]
    rows = Register(file).rows("host_key")
    assert len(rows) == 75
    assert {row["who"] for row in rows} == set("abc")


def test_what_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    register = Register(tmp_path / "register.db")

    def half() -> None:
        with register.transaction() as db:
            db.execute("INSERT INTO token VALUES ('hash','at','who','node','expires',NULL,NULL)")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert register.rows("token") == []


def test_the_keys_a_node_may_show(tmp_path: Path) -> None:
    register = Register(tmp_path / "register.db")
    assert register.host_keys("a") == {}
    register.record_host_key("a", "old", "flashed")
    register.record_host_key("a", "new", "flashed")
    register.record_host_key("b", "other", "flashed")
    assert register.host_keys("a") == {"new": "flashed"}
    register.record_host_key("a", "made", "signed")
    assert register.host_keys("a") == {"made": "signed", "new": "flashed"}
    register.record_host_key("a", "made", "confirmed")
    assert register.host_keys("a") == {"made": "confirmed"}
    register.forget_host_keys("a")
    assert register.host_keys("a") == {}
    register.record_host_key("a", "again", "flashed")
    assert register.host_keys("a") == {"again": "flashed"}


def test_a_running_node_is_believed_until_its_new_card_is_enrolled(tmp_path: Path) -> None:
    register = Register(tmp_path / "register.db")
    register.record_host_key("a", "old", "confirmed")
    for card in ("spare", "second"):
        register.record_host_key("a", card, "flashed")
        # The confirmed one last: who can be told one key only takes that.
        assert list(register.host_keys("a").items()) == [(card, "flashed"), ("old", "confirmed")]
    register.record_host_key("a", "made", "signed")
    assert [*register.host_keys("a")] == ["made", "second", "old"]
    register.record_host_key("a", "final", "signed")
    register.record_host_key("a", "final", "confirmed")
    assert register.host_keys("a") == {"final": "confirmed"}
    register.record_host_key("a", "third", "flashed")
    register.record_host_key("a", "made", "signed")
    register.record_host_key("a", "made", "confirmed")
    assert register.host_keys("a") == {"made": "confirmed"}
    register.record_host_key("a", "fourth", "flashed")
    register.forget_host_keys("a")
    assert register.host_keys("a") == {}
    register.record_host_key("a", "fifth", "flashed")
    assert register.host_keys("a") == {"fifth": "flashed"}


def test_a_card_goes_on_waiting_while_the_running_node_renews(tmp_path: Path) -> None:
    """An enrolled node makes a new key whenever it renews; the card in the drawer is no part."""
    register = Register(tmp_path / "register.db")
    register.record_host_key("a", "old", "confirmed")
    register.record_host_key("a", "spare", "flashed")
    register.record_host_key("a", "new", "renewed")
    assert [*register.host_keys("a")] == ["spare", "new", "old"]
    register.record_host_key("a", "new", "confirmed")
    assert [*register.host_keys("a")] == ["spare", "new"]
    register.record_host_key("a", "newer", "renewed")  # cut short before it was confirmed
    register.record_host_key("a", "another", "flashed")
    assert [*register.host_keys("a")] == ["another", "newer", "new"]
    register.record_host_key("a", "made", "signed")
    register.record_host_key("a", "made", "confirmed")
    assert register.host_keys("a") == {"made": "confirmed"}


def test_a_card_flashed_amid_an_enrolment_does_not_lose_the_node(tmp_path: Path) -> None:
    """It may have its certificates already, and only its answer be under way."""
    register = Register(tmp_path / "register.db")
    register.record_host_key("a", "first", "flashed")
    register.record_host_key("a", "made", "signed")
    register.record_host_key("a", "second", "flashed")
    assert register.host_keys("a") == {"second": "flashed", "made": "renewed"}
    register.record_host_key("a", "made", "confirmed")
    assert register.host_keys("a") == {"second": "flashed", "made": "confirmed"}


def test_a_renewal_of_before_cards_could_wait_is_still_believed(tmp_path: Path) -> None:
    register = Register(tmp_path / "register.db")
    register.record_host_key("a", "old", "confirmed")
    register.record_host_key("a", "new", "signed")
    register.record_host_key("a", "spare", "flashed")
    assert [*register.host_keys("a")] == ["spare", "new", "old"]
    register.record_host_key("a", "new", "confirmed")
    assert [*register.host_keys("a")] == ["spare", "new"]


def test_what_was_under_way_when_it_was_revoked_is_not_believed_after(tmp_path: Path) -> None:
    register = Register(tmp_path / "register.db")
    register.record_host_key("a", "card", "flashed")
    register.forget_host_keys("a")
    register.record_host_key("a", "made", "signed")
    register.record_host_key("a", "other", "renewed")
    with pytest.raises(RevokedError, match="a: was revoked; flash its card again"):
        register.record_host_key("a", "made", "confirmed")
    assert register.host_keys("a") == {}
    register.record_host_key("b", "made", "confirmed")
    register.record_host_key("a", "another", "flashed")
    register.record_host_key("a", "made", "confirmed")
    assert register.host_keys("a") == {"made": "confirmed"}


def test_reading_makes_no_register(tmp_path: Path) -> None:
    register = Register(tmp_path / "register.db")
    assert not register.exists
    assert register.host_keys("a") == {}
    assert not register.view_confirmed("a")
    assert not any(register.rows(table) for table in TABLES)
    assert set(json.loads(register.export_json())) == set(TABLES)
    assert list(tmp_path.iterdir()) == []
    register.record_card(CARD)
    assert register.exists
    assert len(register.rows("card")) == 1


def test_a_view_is_confirmed_until_the_next_card_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = Register(tmp_path / "register.db")
    days = itertools.count(28, -1)
    monkeypatch.setattr("provisioning.register.now_text", lambda: f"2026-01-{next(days)}T00:00:00Z")
    for _ in range(2):
        register.record_host_key("a", "card", "flashed")
        assert not register.view_confirmed("a")
        register.record_view("a", "0" * 64)
        assert register.view_confirmed("a")
        register.record_host_key("a", "made", "confirmed")
        register.record_host_key("b", "card", "flashed")
        assert register.view_confirmed("a")
    register.forget_host_keys("a")
    assert not register.view_confirmed("a")


def test_what_is_no_text_is_not_kept(tmp_path: Path) -> None:
    register = Register(tmp_path / "register.db")
    with pytest.raises(RegisterError, match=r"register\.db: 'ay\\udcff' is no text in UTF-8"):
        register.record_host_key("ay\udcff", "key", "confirmed")
    with pytest.raises(RegisterError, match="no text in UTF-8"):
        register.host_keys("ay\udcff")
    assert register.rows("host_key") == []


def test_a_name_that_no_file_can_have_is_explained(tmp_path: Path) -> None:
    with pytest.raises(RegisterError, match="File name too long"):
        Register(tmp_path / ("a" * 300))


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0garbage"])
def test_what_is_no_register_is_explained(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "register.db"
    file.write_bytes(content)
    with pytest.raises(RegisterError, match=r"register\.db: .*is it a register"):
        Register(file)
    assert file.read_bytes() == content


def test_a_place_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    with pytest.raises(RegisterError, match="may you write there"):
        Register(tmp_path / "none" / "register.db")
    with pytest.raises(RegisterError, match="choose card, host_key"):
        Register(tmp_path / "register.db").rows("sqlite_master")
