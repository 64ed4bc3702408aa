"""Cards per time: dd, zstd | dd, bmaptool and ours, side by side on loop devices with O_DIRECT.

The devices lie in memory (tmpfs) and are throttled by the kernel (blkio.throttle, which counts
reads and writes apart, as UHS-II cards and SSDs do them at once). dd writes the plain image with
its holes; bmaptool verifies what it reads, not what it wrote; ours ends with a card that was read
back, screened and given its identity, and its time counts from the command's start. Our code is
compiled beforehand, as that of an installed package is.

Beside each time stand the processor seconds of the tool, those that the machine spent meanwhile
on anything else, which on an idle one are the rig's (loop devices and tmpfs), and the load before.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from services.card_images import CardImage, create_map, format_fat
from services.flash_batches import make_authority
from services.loop_cards import MIB, loop_card, needs_loop
from services.spent import busy_s, highest_kib

from provisioning.flash.device import Device
from provisioning.image.compress import compress

pytestmark = [pytest.mark.bench, needs_loop, pytest.mark.timeout(3600)]
ROOT = Path(__file__).parents[2]
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a tmpfs is what is wanted
BLKIO = Path("/sys/fs/cgroup/blkio")
HOLE_EVERY_MIB = 32
HOLE_MIB = 16
MOST = 16


@dataclass(frozen=True, slots=True)
class Took:
    """What one run took; `written` is 0 for tools which do not tell it apart."""

    seconds: float
    cpu_seconds: float
    rss_mib: float
    other_cpu_seconds: float
    load: float
    written_seconds: float = 0.0


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    made = SHARED_MEMORY / f"simpul-flash-bench-{os.getpid()}"
    made.mkdir()
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def images(directory: Path) -> Callable[[int], CardImage]:
    """Return a maker of images by their mapped MiB; the last one is kept, as memory is short."""
    pool = _programs()
    made: dict[int, CardImage] = {}

    def image(mapped_mib: int) -> CardImage:
        if mapped_mib not in made:
            for other in made:
                shutil.rmtree(directory / f"image-{other}")
            made.clear()
            made[mapped_mib] = _make_image(directory / f"image-{mapped_mib}", pool, mapped_mib)
        return made[mapped_mib]

    return image


def _programs() -> bytes:
    """Return data as images hold it: this machine's programs."""
    pool = bytearray()
    for file in sorted(Path("/usr/bin").iterdir()):
        if file.is_file() and not file.is_symlink() and file.stat().st_size > MIB:
            pool += file.read_bytes()
        if len(pool) > 64 * MIB:
            break
    return bytes(pool)


def _make_image(directory: Path, pool: bytes, mapped_mib: int) -> CardImage:
    directory.mkdir()
    plain = directory / "card.img"
    dice = random.Random(mapped_mib)  # noqa: S311 - the same image every time
    holes = mapped_mib // HOLE_EVERY_MIB * HOLE_MIB
    with plain.open("xb") as file:
        file.truncate((32 + mapped_mib + holes) * MIB)
    subprocess.run(
        ["sfdisk", "--quiet", plain],
        input="start=4MiB, size=16MiB, type=c\n",
        text=True,
        check=True,
    )
    format_fat(plain, 4 * MIB, 16 * MIB, "CIDATA")
    at = 24
    with plain.open("r+b") as file:
        for number in range(mapped_mib):
            file.seek(at * MIB)
            start = dice.randrange(len(pool) - MIB)
            file.write(pool[start : start + MIB])
            at += 1 + (HOLE_MIB if number % HOLE_EVERY_MIB == HOLE_EVERY_MIB - 1 else 0)
    map_file = directory / "card.img.bmap"
    create_map(plain, map_file)
    return CardImage(plain, map_file, compress(plain))


@contextmanager
def cards(directory: Path, image: CardImage, rates_mib: Sequence[int]) -> Iterator[list[Device]]:
    """Give a card for each rate (MiB/s; 0 is as fast as memory)."""
    size = -(-image.plain.stat().st_size // (64 * MIB)) * 64 * MIB
    with ExitStack() as stack:
        made = []
        for number, rate in enumerate(rates_mib):
            file = directory / f"card-{number}"
            stack.callback(file.unlink)
            device = stack.enter_context(loop_card(file, size))
            _throttle(device, rate)
            stack.callback(_throttle, device, 0)
            made.append(device)
        yield made


def _throttle(device: Device, rate_mib: int) -> None:
    for name in ("read_bps_device", "write_bps_device"):
        (BLKIO / f"blkio.throttle.{name}").write_text(f"{device.number} {rate_mib * MIB}\n")


@pytest.fixture(scope="module")
def throttled() -> None:
    if not (BLKIO / "blkio.throttle.write_bps_device").exists():
        pytest.skip("no blkio controller of cgroup v1 to throttle devices with")


def measured(*commands: Sequence[str], **more: object) -> Took:
    """Run the commands at once; return the time until the last ended, and the sums of the rest.

    The memory is what the kernel calls VmHWM, looked at ten times a second: wait4's figure would
    be this process's own, from before the command was executed.
    """
    load, busy_before = os.getloadavg()[0], busy_s()
    start = time.monotonic()
    running = [subprocess.Popen(command, **more) for command in commands]  # type: ignore[call-overload]
    cpu_seconds, left = 0.0, {each.pid: each for each in running}
    highest = dict.fromkeys(left, 0)
    while left:
        for pid in list(left):
            highest[pid] = highest_kib(pid) or highest[pid]
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if ended:
                each = left.pop(pid)
                each.returncode = os.waitstatus_to_exitcode(status)
                assert each.returncode == 0, each.args
                cpu_seconds += usage.ru_utime + usage.ru_stime
        threading.Event().wait(0.1 if left else 0)
    seconds = time.monotonic() - start
    other = max(busy_s() - busy_before - cpu_seconds, 0.0)
    return Took(seconds, cpu_seconds, sum(highest.values()) / 1024, other, load)


def by_dd(image: CardImage, devices: Sequence[Device]) -> Took:
    return measured(
        *(
            ["dd", f"if={image.plain}", f"of={each.path}", "bs=4M", "oflag=direct", "status=none"]
            for each in devices
        )
    )


def by_zstd_dd(image: CardImage, devices: Sequence[Device]) -> Took:
    line = "zstd -dcq {} | dd of={} bs=4M iflag=fullblock oflag=direct status=none"
    return measured(*(["sh", "-c", line.format(image.packed, each.path)] for each in devices))


def by_bmaptool(image: CardImage, devices: Sequence[Device]) -> Took:
    return measured(*(["bmaptool", "-q", "copy", str(image.packed), each.path] for each in devices))


def by_ours(image: CardImage, devices: Sequence[Device], *, decoded: bool = False) -> Took:
    """Run the command as a technician does; `decoded`: not the first batch of the day."""
    work = image.plain.parent / "work"
    first = not work.exists()
    if first:
        work.mkdir()
        make_authority(work)
        names = "\n".join(f"node-{number}" for number in range(MOST))
        (work / "inventory.ini").write_text(f"[site]\n{names}\n[nodes:children]\nsite\n")
    if not decoded:
        shutil.rmtree(work / "cache", ignore_errors=True)
    command = [sys.executable, "-m", "provisioning", "flash", "--json", "--allow-loop"]
    command += ["--image", str(image.packed)]
    for number, device in enumerate(devices):
        command += [f"node-{number}", f"--device={device.path}", f"--confirm={device.token}"]
    environment = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(work / "bytecode"),
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(work / "cache"),
        "XDG_STATE_HOME": str(work / "state"),
    }
    if first:
        compiled = [*command[:4], "node-0", "--to", "none", "--image", str(image.plain)]
        subprocess.run(
            [*compiled, "--dry-run"], cwd=work, env=environment, check=True, capture_output=True
        )
    with (work / "out").open("wb") as out:
        took = measured(command, cwd=work, env=environment, stdout=out, stderr=subprocess.DEVNULL)
    outcomes = json.loads((work / "out").read_text())
    assert {each["verdict"] for each in outcomes} == {"verified"}
    before = took.seconds - max(each["seconds"] for each in outcomes)
    written = before + max(each["written_seconds"] for each in outcomes)
    return replace(took, written_seconds=written)


def say(name: str, took: Took, base: Took, cards_count: int = 1) -> None:
    written = f", written after {took.written_seconds:.1f} s" if took.written_seconds else ""
    print(
        f"  {name:24} {took.seconds:7.1f} s ({took.seconds / base.seconds:.2f} of bmaptool), "
        f"{took.cpu_seconds / cards_count:5.2f} CPU s a card and "
        f"{took.other_cpu_seconds / cards_count:5.2f} beside it, "
        f"{took.rss_mib:4.0f} MiB, load {took.load:.1f}{written}"
    )


@pytest.mark.parametrize(("rate_mib", "mapped_mib"), [(10, 256), (25, 512), (90, 2016)])
@pytest.mark.usefixtures("throttled")
def test_one_throttled_card(
    rate_mib: int, mapped_mib: int, images: Callable[[int], CardImage], directory: Path
) -> None:
    _one_card(rate_mib, images(mapped_mib), directory, repeats=1)


def test_one_fast_card(images: Callable[[int], CardImage], directory: Path) -> None:
    _one_card(0, images(1024), directory, repeats=5)


def _one_card(rate_mib: int, image: CardImage, directory: Path, repeats: int) -> None:
    runs: dict[str, list[Took]] = {}
    for _ in range(repeats):
        for name, run in (
            ("bmaptool (unverified)", by_bmaptool),
            ("dd, plain, with holes", by_dd),
            ("zstd | dd, with holes", by_zstd_dd),
            ("ours, verified", by_ours),
            ("ours, decoded before", lambda image, made: by_ours(image, made, decoded=True)),
        ):
            with cards(directory, image, [rate_mib]) as made:
                runs.setdefault(name, []).append(run(image, made))
    best = {name: min(each, key=lambda took: took.seconds) for name, each in runs.items()}
    print(f"\n1 card, {rate_mib or 'unlimited'} MiB/s, best of {repeats}:")
    for name, took in best.items():
        say(name, took, best["bmaptool (unverified)"])


@pytest.mark.parametrize("rate_mib", [25, 90, 0])
@pytest.mark.usefixtures("throttled")
def test_many_cards(rate_mib: int, images: Callable[[int], CardImage], directory: Path) -> None:
    image = images(512)
    one = None
    print(f"\n{rate_mib or 'unlimited'} MiB/s a card:")
    for count in (1, 4, 8, MOST):
        with cards(directory, image, [rate_mib] * count) as made:
            base = by_bmaptool(image, made)
        with cards(directory, image, [rate_mib] * count) as made:
            took = by_ours(image, made)
        one = one or took
        say(f"{count:2} x bmaptool", base, base, count)
        say(f"{count:2} cards, ours", took, base, count)
        print(f"  {'':24} {took.seconds / one.seconds:.2f} of our time for one card")


@pytest.mark.usefixtures("throttled")
def test_one_slow_card_among_eight(images: Callable[[int], CardImage], directory: Path) -> None:
    image = images(512)
    out = directory / "image-512" / "work" / "out"
    seconds = {}
    for name, rates in (("eight fast", [90] * 8), ("one slow", [90] * 7 + [10])):
        with cards(directory, image, rates) as made:
            took = by_ours(image, made)
        each = [card["seconds"] for card in json.loads(out.read_text())]
        seconds[name] = max(each[:7])
        print(
            f"\n{name}: the seven took {min(each[:7]):.1f} to {max(each[:7]):.1f} s, "
            f"the eighth {each[7]:.1f} s; {took.rss_mib:.0f} MiB, load {took.load:.1f}"
        )
    print(f"the seven beside a slow one: {seconds['one slow'] / seconds['eight fast']:.2f} times")
