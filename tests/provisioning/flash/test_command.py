"""The commands as a technician types them: what they say, write, and end with."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.card_images import MIB, SEED_FAT, CardImage, make_image, make_image_without_fat
from services.flash_batches import differing_ranges, is_bootable, untouched
from services.loop_cards import loop_card, needs_loop

from provisioning.flash.device import Device
from provisioning.flash.source import open_source
from provisioning.register import Register

pytestmark = needs_loop
ROOT = Path(__file__).parents[3]
CARD_BYTES = 96 * MIB
INVENTORY = """\
[pasar]
pasar-horas title="Pasar Horas"
taman-bunga title="Taman Bunga"
[nodes:children]
pasar
"""
SEED = range(SEED_FAT[0], SEED_FAT[0] + SEED_FAT[1])


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> CardImage:
    return make_image(tmp_path_factory.mktemp("image"))


@pytest.fixture
def desk(station_directory: Path) -> Path:
    (station_directory / "inventory.ini").write_text(INVENTORY)
    return station_directory


@pytest.fixture
def cards(desk: Path) -> Iterator[list[Device]]:
    with (
        loop_card(desk / "card-0", CARD_BYTES) as first,
        loop_card(desk / "card-1", CARD_BYTES) as second,
    ):
        yield [first, second]


def simpul(desk: Path, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    environment = {
        "XDG_STATE_HOME": str(desk / "state"),
        "XDG_CACHE_HOME": str(desk / "cache"),
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "200",
    }
    return subprocess.run(
        [sys.executable, "-m", "provisioning", *words],
        cwd=desk,
        env={**os.environ, **environment},
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )


def flash(
    desk: Path, image: CardImage, cards: list[Device], *words: str, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    named = [f"--device={card.path}" for card in cards]
    words = ("--image", str(image.packed), "--allow-loop", *named, *words)
    return simpul(desk, "flash", "pasar-horas", "taman-bunga", *words, typed=typed)


def seed_of(card: Path, name: str) -> str:
    command = ["mtype", "-i", f"{card}@@{SEED_FAT[0]}", f"::{name}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_two_cards_become_two_nodes(desk: Path, image: CardImage, cards: list[Device]) -> None:
    tokens = " ".join(card.token for card in cards)
    ran = flash(desk, image, cards, "--labels=out/labels.pdf", typed=f"{tokens}\n")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("verified") == 2
    names = ("pasar-horas", "taman-bunga")
    rows = Register(desk / "register.db").rows("card")
    assert sorted(str(row["node"]) for row in rows) == sorted(names)
    assert len({row["fingerprints"] for row in rows}) == 2
    tokens_seen = set()
    with open_source(image.packed, cache=desk / "cache") as source:
        digest = source.sha256()
        for number, name in enumerate(names):
            card = desk / f"card-{number}"
            assert json.loads(seed_of(card, "meta-data"))["local-hostname"] == name
            tokens_seen.add(seed_of(card, "user-data"))
            assert differing_ranges(card, image.plain, source, but=SEED) == []
            check = ["fsck.vfat", "-n", "/dev/stdin"]
            with card.open("rb") as content:
                content.seek(SEED_FAT[0])
                fat = content.read(SEED_FAT[1])
            (desk / "fat").write_bytes(fat)
            subprocess.run([*check[:2], str(desk / "fat")], check=True, capture_output=True)
    assert len(tokens_seen) == 2
    assert {row["image_sha256"] for row in rows} == {digest}
    assert (desk / "out/labels.pdf").read_bytes().startswith(b"%PDF-")


def test_no_secret_of_a_card_is_anywhere_else(
    desk: Path, image: CardImage, cards: list[Device]
) -> None:
    ran = flash(desk, image, cards, typed=" ".join(card.token for card in cards) + "\n")
    assert ran.returncode == 0, ran.stderr
    seed = seed_of(desk / "card-0", "user-data").encode()
    key = json.loads(seed.partition(b"\n")[2])["ssh_keys"]["ed25519_private"].encode()
    secret = key.split(b"\n")[2]
    assert secret in (desk / "card-0").read_bytes().replace(b"\\n", b"\n")
    kept = [
        each
        for each in desk.rglob("*")
        if each.is_file() and not each.name.startswith("card-") and secret in each.read_bytes()
    ]
    assert kept == []
    assert secret.decode() not in ran.stdout + ran.stderr


@pytest.mark.parametrize("said", ["", "yes\n", "loop0\n"])
def test_nothing_is_written_without_the_tokens(
    said: str, desk: Path, image: CardImage, cards: list[Device]
) -> None:
    with untouched([desk / "card-0", desk / "card-1"]):
        ran = flash(desk, image, cards, typed=said)
    assert ran.returncode == 1
    assert "nothing was written" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_dry_run_writes_nothing(desk: Path, image: CardImage, cards: list[Device]) -> None:
    with untouched([desk / "card-0", desk / "card-1", desk / "register.db"]):
        ran = flash(desk, image, cards, "--dry-run")
    assert ran.returncode == 0
    assert cards[0].token in ran.stdout
    assert not (desk / "state").exists()


def test_json_tells_programs_everything(desk: Path, image: CardImage, cards: list[Device]) -> None:
    confirmed = [f"--confirm={card.token}" for card in cards]
    ran = flash(desk, image, cards, "--json", *confirmed)
    outcomes = json.loads(ran.stdout)
    assert [each["verdict"] for each in outcomes] == ["verified", "verified"]
    assert outcomes[0]["verified_bytes"] > 0
    assert re.fullmatch("[0-9a-f]{64}", outcomes[0]["image_sha256"])


def test_a_damaged_image_is_blamed_not_the_card(
    desk: Path, image: CardImage, cards: list[Device]
) -> None:
    packed = bytearray(image.packed.read_bytes())
    packed[len(packed) // 2] ^= 0xFF
    (desk / "bad.img.zst").write_bytes(packed)
    confirmed = [f"--confirm={card.token}" for card in cards]
    words = ["--json", "--map", str(image.map_file), *confirmed]
    broken = CardImage(image.plain, image.map_file, desk / "bad.img.zst")
    ran = flash(desk, broken, cards, *words)
    assert ran.returncode == 3
    assert all("damaged" in each["reason"] for each in json.loads(ran.stdout))
    assert not is_bootable(desk / "card-0")
    assert not list((desk / "cache").rglob("*.img"))


def test_a_decoded_image_that_rotted_on_the_station_is_not_used_again(
    desk: Path, image: CardImage, cards: list[Device]
) -> None:
    confirmed = ["--json", *(f"--confirm={card.token}" for card in cards)]
    assert flash(desk, image, cards, *confirmed).returncode == 0
    (kept,) = (desk / "cache").rglob("*.img")
    with kept.open("r+b") as file:
        file.seek(30 * MIB)
        file.write(b"rotten")
    ran = flash(desk, image, cards, *confirmed)
    assert all("damaged" in each["reason"] for each in json.loads(ran.stdout))
    assert flash(desk, image, cards, *confirmed).returncode == 0


def test_a_file_is_made_like_a_card(desk: Path, image: CardImage) -> None:
    words = ["flash", "pasar-horas", "--image", str(image.packed), "--to", "new.img", "--json"]
    ran = simpul(desk, *words)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(seed_of(desk / "new.img", "meta-data"))["local-hostname"] == "pasar-horas"
    assert is_bootable(desk / "new.img")
    with untouched([desk / "new.img"]):
        again = simpul(desk, *words)
    assert again.returncode == 3
    assert "name a new file" in json.loads(again.stdout)[0]["reason"]


@pytest.mark.parametrize("option", ["--to", "--image"])
def test_a_name_that_nothing_can_show_is_refused(option: str, desk: Path, image: CardImage) -> None:
    named = {"--to": "new.img", "--image": str(image.packed), option: "out\udcff.img"}
    ran = simpul(desk, "flash", "pasar-horas", *(word for pair in named.items() for word in pair))
    assert ran.returncode == 2, ran.stderr
    assert "'out\\udcff.img' is no text in UTF-8" in ran.stderr
    assert not (desk / "new.img").exists()


def test_an_image_by_such_a_name_is_refused(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMPUL_IMAGE", "card\udcff.img")
    ran = simpul(desk, "flash", "pasar-horas", "--to", "new.img")
    assert ran.returncode == 2, ran.stderr
    assert "$SIMPUL_IMAGE: 'card\\udcff.img' is no text in UTF-8" in ran.stderr


def test_an_image_without_a_place_for_the_seed_erases_nothing(
    desk: Path, cards: list[Device]
) -> None:
    (desk / "image").mkdir()
    image = make_image_without_fat(desk / "image")
    confirmed = [f"--confirm={card.token}" for card in cards]
    with untouched([desk / "card-0", desk / "card-1"]):
        ran = flash(desk, image, cards, *confirmed)
    assert ran.returncode == 1
    assert "no FAT labelled SIMPUL" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_labels_that_could_not_be_written_erase_nothing(
    desk: Path, image: CardImage, cards: list[Device]
) -> None:
    confirmed = [f"--confirm={card.token}" for card in cards]
    with untouched([desk / "card-0", desk / "card-1"]):
        ran = flash(desk, image, cards, "--labels=/proc/labels.pdf", *confirmed)
    assert ran.returncode == 1
    assert "/proc/labels.pdf: the labels could not be written there" in ran.stderr


def test_another_program_s_card_gets_its_seed(desk: Path) -> None:
    (desk / "fat").mkdir()
    ran = simpul(desk, "seed", "pasar-horas", "--to", "fat")
    assert ran.returncode == 0, ran.stderr
    assert json.loads((desk / "fat/meta-data").read_text())["local-hostname"] == "pasar-horas"


def test_a_folder_where_one_may_not_look_takes_no_seed(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one who owns the files and has no other right: root may look everywhere."""
    (desk / "closed").mkdir(mode=0)
    rights = "-dac_override,-dac_read_search"
    monkeypatch.chdir(desk)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    as_owner = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}", sys.executable]
    words = ["-m", "provisioning", "seed", "pasar-horas", "--to", "closed/fat"]
    ran = subprocess.run([*as_owner, *words], capture_output=True, text=True, check=False)
    assert ran.returncode == 2, ran.stderr
    assert "closed/fat': Permission denied; name the mounted FAT of the card" in ran.stderr


def test_a_station_s_dry_run_says_what_it_would_serve(desk: Path) -> None:
    (desk / "station.toml").write_text('[slots]\n1 = "1-2.1:0"\n')
    ran = simpul(desk, "station", "taman-bunga", "--image", "none.img", "--dry-run")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "would serve the slots 1 (1-2.1:0) for taman-bunga\n"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["flash", "pasar-hora", "--image", "{image}"], 1, "did you mean pasar-horas"),
        (["flash", "--image", "x"], 2, "no node is named"),
        (["flash", "pasar-horas"], 1, "no image"),
        (["flash", "pasar-horas", "--image", "none.img"], 1, "No such file"),
        (["flash", "pasar-horas", "--image", "."], 1, "Is a directory"),
        (["flash", "pasar-horas", "--image", "/"], 1, "Is a directory"),
        (
            ["flash", "pasar-horas", "--screen", "slow", "--image", "{image}", "--to", "f"],
            1,
            "full",
        ),
        (["station", "pasar-horas", "--image", "{image}"], 1, "pin the slots"),
        (["seed", "pasar-horas", "--to", "nowhere"], 2, "no folder"),
    ],
)
def test_mistakes_are_explained(
    words: list[str], status: int, said: str, desk: Path, image: CardImage
) -> None:
    ran = simpul(desk, *(word.format(image=image.packed) for word in words))
    assert ran.returncode == status, ran.stderr
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
