"""Lets the real picamera2 drive libcamera's virtual camera; never part of a node.

The virtual camera is no Raspberry Pi: it has no raw role, no dma_heap behind its buffers, and with
libcamera 0.4.0 reports 0 bytes used in them. Every departure stands here and nowhere else:

- `pykms` and `pidng` (previews on a bare screen, raw files) are empty modules: Debian packages
  neither, and neither is used.
- no raw modes, and no `raw` and `sensor` entries in what is configured.
- picamera2's own LibcameraAllocator in place of DmaAllocator.
- buffers are mapped whole through the descriptor of their first plane.

`install` is called by the sitecustomize beside it, so that PYTHONPATH alone brings it into every
Python of a test, the camera's process among them.
"""

import mmap
import sys
import types
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any


def install() -> None:
    """Change picamera2 whenever this Python imports it; nothing is imported before."""
    _empty_modules()
    sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds picamera2 where it is, to be changed once it is loaded."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:  # noqa: ANN401 - as importlib declares it
        del target
        if fullname != "picamera2.picamera2":
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Changing(spec.loader)
        return spec


class _Changing(Loader):
    def __init__(self, plain: Loader) -> None:
        self._plain = plain

    def create_module(self, spec: ModuleSpec) -> types.ModuleType | None:
        return self._plain.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        self._plain.exec_module(module)
        _change(module)


def _change(module: Any) -> None:  # noqa: ANN401 - an untyped vendor's module
    from picamera2.allocators import LibcameraAllocator  # noqa: PLC0415 - loaded by now

    camera_class = module.Picamera2
    plain_make, plain_init = camera_class._make_libcamera_config, camera_class.__init__

    def make(self: Any, config: dict[str, Any]) -> Any:  # noqa: ANN401 - as above
        config["raw"], config["sensor"] = None, {}
        return plain_make(self, config)

    def init(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as above
        plain_init(self, *args, **kwargs)
        self.allocator = LibcameraAllocator(self.camera)
        self.allocator.sync = MappedPlanes

    camera_class._get_raw_modes = lambda _: [{"format": "SRGGB10", "size": (1920, 1080)}]
    camera_class._make_libcamera_config = make
    camera_class.__init__ = init
    module.DmaAllocator = lambda: None


class MappedPlanes:
    """A buffer's bytes for as long as it is entered, as picamera2's allocators give them."""

    def __init__(self, _allocator: object, buffer: Any, _write: bool) -> None:  # noqa: ANN401, FBT001 - as picamera2 calls it
        self._buffer = buffer

    def __enter__(self) -> mmap.mmap:
        planes = self._buffer.planes
        size_bytes = sum(plane.length for plane in planes)
        self._map = mmap.mmap(planes[0].fd, size_bytes, mmap.MAP_SHARED, mmap.PROT_READ)
        return self._map

    def __exit__(self, *_: object) -> None:
        # Arrays may still look into it: the mapping goes when the last of them does.
        del self._map


class _Named(type):
    """A class that has any member asked for: pykms lists pixel formats so."""

    def __getattr__(cls, name: str) -> str:
        return name


def _empty_modules() -> None:
    for name, members in {
        "pykms": ("PixelFormat",),
        "pidng": (),
        "pidng.core": ("PICAM2DNG",),
        "pidng.camdefs": ("Picamera2Camera",),
    }.items():
        module = types.ModuleType(name)
        for member in members:
            setattr(module, member, _Named(member, (), {}))
        sys.modules[name] = module
