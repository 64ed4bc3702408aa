"""Builds the kernel's GPIO simulator, which Debian's kernel leaves out, as a module for the guest.

Sources: gpio-sim.c and irq_sim.c of Debian's linux-source, against Debian's own headers. Nothing is
installed: the packages are unpacked into the cache and only the module stays.
"""

import re
import subprocess
import tempfile
from pathlib import Path

_FILES = ("drivers/gpio/gpio-sim.c", "drivers/gpio/gpiolib.h", "kernel/irq/irq_sim.c")
# irq_to_desc is not exported to modules; its exported sister does the same and locks besides.
_UNEXPORTED = "handle_simple_irq(irq_to_desc(irqnum))"
_EXPORTED = "generic_handle_irq_safe(irqnum)"
_MAKEFILE = "obj-m := gpio-simulator.o\ngpio-simulator-objs := gpio-sim.o irq_sim.o\n"


def gpio_simulator(kernel: Path) -> Path:
    """Return gpio-simulator.ko for the unpacked package `kernel`, linux-image-VERSION.

    Raises subprocess.CalledProcessError when a package or the build fails, ValueError when the
    source is no longer what is mended here.
    """
    version = kernel.name.removeprefix("linux-image-")
    module = kernel.with_name(f"gpio-simulator-{version}.ko")
    if module.exists():
        return module
    with tempfile.TemporaryDirectory(dir=kernel.parent) as temporary:
        part = Path(temporary)
        headers = _headers(version, part)
        source = _source(version, part)
        _run("make", "-s", "-C", str(headers), f"M={source}", "modules", cwd=part)
        (source / "gpio-simulator.ko").rename(module)
    return module


def _headers(version: str, part: Path) -> Path:
    """Unpack the headers of `version`; return their folder, mended to be used where it lies."""
    own = f"linux-headers-{version}"
    depends = _run("apt-cache", "depends", own, cwd=part)
    for name in (own, *re.findall(r"Depends: (linux-(?:headers|kbuild)-\S+)", depends)):
        _run("dpkg-deb", "-x", str(_download(name, part)), str(part / "root"), cwd=part)
    folder = part / "root/usr/src" / own
    for makefile in (folder / "Makefile", folder / ".kernelvariables"):
        makefile.write_text(makefile.read_text().replace("/usr/src", str(part / "root/usr/src")))
    return folder


def _source(version: str, part: Path) -> Path:
    """Unpack the module's source files; return their folder."""
    name = f"linux-source-{'.'.join(version.split('.')[:2])}"
    _run("dpkg-deb", "-x", str(_download(name, part)), str(part / "root"), cwd=part)
    archive = part / f"root/usr/src/{name}.tar.xz"
    folder = part / "module"
    folder.mkdir()
    members = [f"{name}/{file}" for file in _FILES]
    _run("tar", "-xJf", str(archive), "-C", str(folder), "--transform=s,.*/,,", *members, cwd=part)
    irq = folder / "irq_sim.c"
    if _UNEXPORTED not in irq.read_text():
        raise ValueError(f"{name}: irq_sim.c no longer calls {_UNEXPORTED}; look at it anew")
    irq.write_text(irq.read_text().replace(_UNEXPORTED, _EXPORTED))
    (folder / "Makefile").write_text(_MAKEFILE)
    return folder


def _download(name: str, part: Path) -> Path:
    _run("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", name, cwd=part)
    return next(part.glob(f"{name}_*.deb"))


def _run(*command: str, cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout
