"""Builds the kernel modules of the virtual bench for an emulated arm64 node, by a cross compiler.

Debian's kernel leaves out the GPIO simulator, and its source calls what is not exported to modules:
as in tests/services/gpio_simulator.py for this machine's own kind. It leaves out the emulation of
temperatures, too; cpu_thermal.c beside this file is a zone whose temperature a test says.
"""

import shlex
import subprocess
import tempfile
from pathlib import Path

from hil_tests.bench.errors import BenchError
from hil_tests.bench.lock import cache_folder

_SUITE = "trixie"
_PACKAGES = ("gcc-aarch64-linux-gnu", "make", "xz-utils", "libelf1t64")
_THERMAL = Path(__file__).with_name("cpu_thermal.c")
# Headers of the node's architecture, with the build programs of this machine's.
_HEADERS = r"""
set -e
mkdir /build
cd /build
get() { apt-get download -qq -o APT::Sandbox::User=root "$@"; }
get HEADERS:arm64
depends=$(dpkg-deb -f HEADERS_*.deb Depends | tr ',' '\n')
get "$(echo "$depends" | grep -o 'linux-headers-[^ ]*-common[^ ]*')" \
    "$(echo "$depends" | grep -o 'linux-kbuild-[^ ]*'):amd64"
for package in *.deb; do dpkg-deb -x "$package" /; done
rm -- *.deb
"""
_GPIO = r"""
get linux-source-SERIES
dpkg-deb -x linux-source-*.deb /
tar -xJf /usr/src/linux-source-SERIES.tar.xz --transform='s,.*/,,' \
    linux-source-SERIES/drivers/gpio/gpio-sim.c linux-source-SERIES/drivers/gpio/gpiolib.h \
    linux-source-SERIES/kernel/irq/irq_sim.c
grep -q 'handle_simple_irq(irq_to_desc(irqnum))' irq_sim.c
sed -i 's/handle_simple_irq(irq_to_desc(irqnum))/generic_handle_irq_safe(irqnum)/' irq_sim.c
printf 'obj-m := gpio-simulator.o\ngpio-simulator-objs := gpio-sim.o irq_sim.o\n' > Makefile
"""
# Type information for tracing needs a program more, and is of no use here.
_MAKE = """
make -s -C /usr/src/HEADERS M=/build ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- \\
    CONFIG_DEBUG_INFO_BTF_MODULES= modules
"""


def gpio_module(release: str) -> Path:
    """Return gpio-simulator.ko for the kernel `release` (uname -r), built when the cache has none.

    Raises BenchError with what went wrong.
    """
    return _built("gpio-simulator", release, _GPIO)


def thermal_module(release: str) -> Path:
    """Return cpu-thermal.ko for the kernel `release`, as above."""
    source = shlex.quote(_THERMAL.read_text(encoding="ascii"))
    steps = f"printf %s {source} > cpu-thermal.c\necho 'obj-m := cpu-thermal.o' > Makefile\n"
    return _built("cpu-thermal", release, steps)


def _built(name: str, release: str, steps: str) -> Path:
    module = cache_folder() / f"{name}-{release}.ko"
    if module.exists():
        return module
    module.parent.mkdir(parents=True, exist_ok=True)
    series = ".".join(release.split(".")[:2])
    text = f"{_HEADERS}{steps}{_MAKE}"
    text = text.replace("HEADERS", f"linux-headers-{release}").replace("SERIES", series)
    with tempfile.TemporaryDirectory(prefix="module-", dir=module.parent) as temporary:
        script, made = Path(temporary) / "script", Path(temporary) / "made"
        script.write_text(text)
        command = ["mmdebstrap", "--quiet", "--variant=apt", "--architectures=amd64,arm64"]
        command += [
            f"--include={','.join(_PACKAGES)}",
            f'--customize-hook=chroot "$1" sh < {script}',
            f'--customize-hook=cp "$1/build/{name}.ko" {made}',
        ]
        _run([*command, _SUITE, "/dev/null"], name)
        made.rename(module)
    return module


def _run(command: list[str], name: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise BenchError(f"{command[0]} is missing: apt install {command[0]}") from error
    if done.returncode != 0:
        raise BenchError(f"{name}.ko cannot be built: {done.stderr.strip()[-1000:]}")
