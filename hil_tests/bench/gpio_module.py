"""Builds the kernel's GPIO simulator for an emulated arm64 node, with a cross compiler.

As tests/services/gpio_simulator.py does for this machine's own kind, and for the same reasons:
Debian's kernel leaves it out, and its source calls what is not exported to modules.
"""

import subprocess
import tempfile
from pathlib import Path

from hil_tests.bench.errors import BenchError
from hil_tests.bench.lock import cache_folder

_SUITE = "trixie"
_PACKAGES = ("gcc-aarch64-linux-gnu", "make", "xz-utils", "libelf1t64")
# Headers of the node's architecture, with the build programs of this machine's.
_SCRIPT = r"""
set -e
mkdir /build
cd /build
get() { apt-get download -qq -o APT::Sandbox::User=root "$@"; }
get HEADERS:arm64 linux-source-SERIES
depends=$(dpkg-deb -f HEADERS_*.deb Depends | tr ',' '\n')
get "$(echo "$depends" | grep -o 'linux-headers-[^ ]*-common[^ ]*')" \
    "$(echo "$depends" | grep -o 'linux-kbuild-[^ ]*'):amd64"
for package in *.deb; do dpkg-deb -x "$package" /; done
rm -- *.deb
tar -xJf /usr/src/linux-source-SERIES.tar.xz --transform='s,.*/,,' \
    linux-source-SERIES/drivers/gpio/gpio-sim.c linux-source-SERIES/drivers/gpio/gpiolib.h \
    linux-source-SERIES/kernel/irq/irq_sim.c
grep -q 'handle_simple_irq(irq_to_desc(irqnum))' irq_sim.c
sed -i 's/handle_simple_irq(irq_to_desc(irqnum))/generic_handle_irq_safe(irqnum)/' irq_sim.c
printf 'obj-m := gpio-simulator.o\ngpio-simulator-objs := gpio-sim.o irq_sim.o\n' > Makefile
# Type information for tracing needs a program more, and is of no use here.
make -s -C /usr/src/HEADERS M=/build ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- \
    CONFIG_DEBUG_INFO_BTF_MODULES= modules
"""


def gpio_module(release: str) -> Path:
    """Return gpio-simulator.ko for the kernel `release` (uname -r), built when the cache has none.

    Raises BenchError with what went wrong.
    """
    module = cache_folder() / f"gpio-simulator-{release}.ko"
    if module.exists():
        return module
    module.parent.mkdir(parents=True, exist_ok=True)
    series = ".".join(release.split(".")[:2])
    text = _SCRIPT.replace("HEADERS", f"linux-headers-{release}").replace("SERIES", series)
    with tempfile.TemporaryDirectory(prefix="module-", dir=module.parent) as temporary:
        script, made = Path(temporary) / "script", Path(temporary) / "made"
        script.write_text(text)
        command = ["mmdebstrap", "--quiet", "--variant=apt", "--architectures=amd64,arm64"]
        command += [
            f"--include={','.join(_PACKAGES)}",
            f'--customize-hook=chroot "$1" sh < {script}',
            f'--customize-hook=cp "$1/build/gpio-simulator.ko" {made}',
        ]
        _run([*command, _SUITE, "/dev/null"])
        made.rename(module)
    return module


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise BenchError(f"{command[0]} is missing: apt install {command[0]}") from error
    if done.returncode != 0:
        raise BenchError(f"the GPIO simulator cannot be built: {done.stderr.strip()[-1000:]}")
