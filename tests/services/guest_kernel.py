"""Fetches Debian's stock kernel without installing it, and packs the guest's first program."""

import lzma
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "simpul/guest"
_INIT = ROOT / "tests/guest/init"
_NEEDED = ("virtio_pci", "9pnet_virtio", "9p", "overlay")


def kernel_folder() -> Path:
    """Return the unpacked linux-image package of this Debian's stock kernel, from the cache.

    Raises subprocess.CalledProcessError when the package cannot be downloaded, ValueError when
    Debian names none.
    """
    asked = subprocess.run(
        ["apt-cache", "depends", "linux-image-amd64"], check=True, capture_output=True, text=True
    )
    named = re.search(r"Depends: (linux-image-\S+)", asked.stdout)
    if named is None:
        raise ValueError("linux-image-amd64 depends on no kernel here; run apt-get update")
    folder = _CACHE / named[1]
    if folder.exists():
        return folder
    _CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE) as temporary:
        part = Path(temporary)
        download = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", named[1]]
        subprocess.run(download, cwd=part, check=True, capture_output=True)
        package = next(part.glob("*.deb"))
        subprocess.run(["dpkg-deb", "-x", str(package), str(part / "kernel")], check=True)
        modules = modules_folder(part / "kernel")
        version = next(modules.iterdir()).name
        base = part / "kernel"
        if modules.parent.name == "lib" and modules.parents[1].name == "usr":
            base = part / "kernel/usr"
        subprocess.run(["depmod", "-b", str(base), version], check=True)
        (part / "kernel").rename(folder)
    return folder


def modules_folder(kernel: Path) -> Path:
    """Return lib/modules of the package, which Debian 13 keeps below usr."""
    usr = kernel / "usr/lib/modules"
    return usr if usr.is_dir() else kernel / "lib/modules"


def image(kernel: Path) -> Path:
    """Return the kernel proper."""
    return next((kernel / "boot").glob("vmlinuz-*"))


def write_initramfs(kernel: Path, file: Path) -> None:
    """Write busybox, our init and the modules that reach the machine's files (cpio, newc)."""
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary)
        (tree / "bin").mkdir()
        (tree / "modules").mkdir()
        shutil.copy("/bin/busybox", tree / "bin/busybox")
        shutil.copy(_INIT, tree / "init")
        (tree / "init").chmod(0o755)
        order = []
        for module in _in_order(kernel):
            name = module.name.removesuffix(".xz")
            packed = module.read_bytes()
            plain = lzma.decompress(packed) if module.suffix == ".xz" else packed
            (tree / "modules" / name).write_bytes(plain)
            order.append(name)
        (tree / "modules/order").write_text("\n".join(order) + "\n")
        names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
        with file.open("wb") as out:
            subprocess.run(
                ["cpio", "--quiet", "-o", "-H", "newc"],
                cwd=tree,
                input=names.encode(),
                stdout=out,
                check=True,
            )


def _in_order(kernel: Path) -> list[Path]:
    """Return the needed modules, each after what it depends on (modules.dep(5))."""
    folder = next(modules_folder(kernel).iterdir())
    depends = {}
    for line in (folder / "modules.dep").read_text().splitlines():
        module, _, others = line.partition(":")
        depends[module] = others.split()
    by_name = {Path(module).name.partition(".ko")[0]: module for module in depends}
    order: list[str] = []
    for name in _NEEDED:
        if name in by_name:  # else it is built in
            module = by_name[name]
            order += [each for each in [*reversed(depends[module]), module] if each not in order]
    return [folder / module for module in order]
