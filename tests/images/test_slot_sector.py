"""autoboot.txt is overwritten in one sector of real FAT file systems, made and read by others."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slot_boot.boot_select import boot_select
from slot_boot.choice import Choice, encode
from slot_boot.errors import FatError, SlotError
from slot_boot.fat import SECTOR_BYTES, find_file
from slot_boot.own_words import give_own_words, own_words

SHIM = Path(__file__).parents[2] / "images/layers/update/files/usr/lib/simpul/slot-boot"
# mkfs.vfat options and size in KiB, by FAT width; small clusters let a small FAT32 be one.
FATS = {
    "12": (["-F", "12"], 1024),
    "16": (["-F", "16", "-s", "1"], 8192),
    "32": (["-F", "32", "-s", "1"], 40960),
}


def make_fat(file: Path, width: str, text: bytes = encode(Choice()), others: int = 3) -> Path:
    options, size_kib = FATS[width]
    subprocess.run(
        ["mkfs.vfat", *options, "-C", str(file), str(size_kib)], check=True, capture_output=True
    )
    folder = file.with_suffix(".files")
    folder.mkdir()
    # A volume label, long names and a second cluster of the directory stand before it.
    names = [f"a long name that takes several entries {number}.txt" for number in range(others)]
    for name in [*names, "config.txt"]:
        (folder / name).write_text("other")
        mcopy(file, folder / name, name)
    (folder / "autoboot.txt").write_bytes(text)
    mcopy(file, folder / "autoboot.txt", "autoboot.txt")
    return file


def mcopy(file: Path, source: Path, name: str) -> None:
    subprocess.run(["mcopy", "-i", str(file), str(source), f"::{name}"], check=True)


def read_with_mtools(file: Path) -> bytes:
    return subprocess.run(
        ["mtype", "-i", str(file), "::autoboot.txt"], check=True, capture_output=True
    ).stdout


@pytest.mark.parametrize("width", FATS)
@pytest.mark.parametrize("others", [0, 12])
def test_one_sector_changes_and_the_rest_stays(tmp_path: Path, width: str, others: int) -> None:
    file = make_fat(tmp_path / "fat", width, others=others)
    before = file.read_bytes()
    wanted = Choice("b", frozenset({"b"}))
    with boot_select(file) as place:
        assert place.choice() == Choice()
        place.write(wanted)
        assert place.choice() == wanted
    after = file.read_bytes()
    changed = {
        start
        for start in range(0, len(before), SECTOR_BYTES)
        if before[start : start + SECTOR_BYTES] != after[start : start + SECTOR_BYTES]
    }
    assert len(changed) == 1
    assert read_with_mtools(file) == encode(wanted)
    subprocess.run(["fsck.vfat", "-n", str(file)], check=True, capture_output=True)


@pytest.mark.parametrize("width", FATS)
def test_a_text_of_another_size_is_refused(tmp_path: Path, width: str) -> None:
    file = make_fat(tmp_path / "fat", width, text=b"[all]\nboot_partition=2\n")
    with pytest.raises(FatError, match="exactly one sector"), boot_select(file):
        pass


def test_a_fat_without_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "fat"
    subprocess.run(["mkfs.vfat", "-C", str(file), "1024"], check=True, capture_output=True)
    with pytest.raises(FatError, match=r"holds no autoboot\.txt"), boot_select(file):
        pass


def test_what_is_no_fat_is_refused(tmp_path: Path) -> None:
    (tmp_path / "zeros").write_bytes(bytes(8192))
    with pytest.raises(FatError, match="not a FAT"), boot_select(tmp_path / "zeros"):
        pass
    (tmp_path / "short").write_bytes(bytes(100))
    with pytest.raises(FatError, match="ends before"), boot_select(tmp_path / "short"):
        pass
    with pytest.raises(SlotError, match="cannot be opened"), boot_select(tmp_path / "absent"):
        pass


@pytest.fixture(scope="module")
def fat_bytes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("fats")
    return {width: make_fat(folder / width, width).read_bytes() for width in FATS}


@settings(max_examples=200)
@given(
    width=st.sampled_from(sorted(FATS)),
    damage=st.lists(st.tuples(st.integers(0, 1023), st.integers(0, 255)), max_size=12),
    root=st.binary(max_size=64),
)
def test_any_damage_is_refused_or_leads_inside(
    fat_bytes: dict[str, bytes], width: str, damage: list[tuple[int, int]], root: bytes
) -> None:
    disk = bytearray(fat_bytes[width])
    for position, value in damage:
        disk[position] = value
    disk[2048 : 2048 + len(root)] = root

    def read(sector: int) -> bytes:
        part = bytes(disk[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES])
        if len(part) < SECTOR_BYTES:
            raise FatError(f"the partition ends before its sector {sector}")
        return part

    with suppress(FatError):
        assert find_file(read, "autoboot.txt").sector > 0


CMDLINE = "root=PARTUUID=53494d50-0{root} rootfstype=erofs ro simpul.slot={slot} panic=10\n"


def test_a_boot_slot_is_given_its_own_words(tmp_path: Path) -> None:
    file = make_fat(tmp_path / "fat", "16")
    (tmp_path / "cmdline.txt").write_text(CMDLINE.format(root=5, slot="a"))
    mcopy(file, tmp_path / "cmdline.txt", "cmdline.txt")
    before = file.read_bytes()
    give_own_words(file, "b")
    after = file.read_bytes()
    assert [(x, y) for x, y in zip(before, after, strict=True) if x != y] == [
        (ord("5"), ord("6")),
        (ord("a"), ord("b")),
    ]
    give_own_words(file, "a")
    assert file.read_bytes() == before


def test_a_boot_slot_of_another_system_is_refused() -> None:
    for line in (b"", b"root=/dev/mmcblk0p2 simpul.slot=a", b"root=PARTUUID=53494d50-05"):
        with pytest.raises(SlotError, match="made for another"):
            own_words(line, "b")


@pytest.fixture
def devices(tmp_path: Path) -> Iterator[Path]:
    """Give boot-select and both boot slots as block devices."""
    if os.geteuid() != 0:
        pytest.skip("a loop device needs root")
    folder = tmp_path / "by-partuuid"
    folder.mkdir()
    attached = []
    (tmp_path / "cmdline.txt").write_text(CMDLINE.format(root=5, slot="a"))
    for number in (1, 2, 3):
        file = make_fat(tmp_path / f"fat{number}", "16")
        mcopy(file, tmp_path / "cmdline.txt", "cmdline.txt")
        command = ["losetup", "--show", "--find", str(file)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        attached.append(done.stdout.strip())
        (folder / f"53494d50-{number:02x}").symlink_to(attached[-1])
    yield folder
    for device in attached:
        subprocess.run(["losetup", "--detach", device], check=True)


def slot_boot(devices: Path, cmdline: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SHIM), "--devices", str(devices), "--cmdline", str(cmdline), *command],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )


def test_an_update_by_command_on_block_devices(devices: Path, tmp_path: Path) -> None:
    cmdline = tmp_path / "cmdline"
    cmdline.write_text("console=ttyS0 simpul.slot=a quiet\n")

    def say(*command: str) -> str:
        done = slot_boot(devices, cmdline, *command)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert say("get-primary") == "a"
    assert say("get-current") == "a"
    assert say("get-state", "b") == "bad"
    assert slot_boot(devices, cmdline, "on-trial").returncode == 1
    assert slot_boot(devices, cmdline, "trial").stderr == (
        "slot-boot: no slot waits for its first boot: install a bundle first\n"
    )
    assert say("set-state", "b", "bad") == ""
    assert say("set-primary", "b") == ""
    words = subprocess.run(
        ["mtype", "-i", str(devices / "53494d50-03"), "::cmdline.txt"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert words == CMDLINE.format(root=6, slot="b")
    assert say("get-primary") == "b"
    assert say("get-state", "b") == "good"
    cmdline.write_text("console=ttyS0 simpul.slot=b quiet\n")
    assert say("settle") == ""
    assert say("on-trial") == ""
    refused = slot_boot(devices, cmdline, "set-state", "a", "bad")
    assert refused.returncode == 1
    assert "slot a is what this trial of slot b returns to" in refused.stderr
    assert say("set-state", "b", "good") == ""
    assert slot_boot(devices, cmdline, "on-trial").returncode == 1
    assert say("get-primary") == "b"


def test_the_shim_imports_nothing_but_itself_and_writes_nothing(tmp_path: Path) -> None:
    program = tmp_path / "simpul"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SHIM.parent, program, ignore=ignore)
    (tmp_path / "argparse.py").write_text("raise SystemExit('taken from the wrong place')\n")
    done = subprocess.run(
        [str(program / SHIM.name), "--help"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "set-primary" in done.stdout
    assert not list(program.rglob("__pycache__"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("console=ttyS0\n", "simpul.slot= does not name slot a or b"),
        ("simpul.slot=c\n", "simpul.slot= does not name slot a or b"),
    ],
)
def test_an_unknown_slot_is_told(tmp_path: Path, text: str, reason: str) -> None:
    cmdline = tmp_path / "cmdline"
    cmdline.write_text(text)
    done = slot_boot(tmp_path / "fat", cmdline, "get-current")
    assert (done.returncode, done.stdout) == (1, "")
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
