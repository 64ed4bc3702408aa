"""The camera as the agent runs it, a process of its own, and a sink that remembers its stills."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from node.camera.source import CameraSource, camera_command
from node.messages import Camera as Measured
from node.settings import Camera

_MASK = '[[region]]\nname = "a"\npolygon = [[0, 0], [0.2, 0], [0.2, 0.2], [0, 0.2]]\n'
_HEAD = '[node]\nname = "taman-bunga"\n[uplink]\nbrokers = ["mqtt://127.0.0.1:1"]\n[camera]\n'
_ENOUGH_STILLS = 5


def masked_source(camera: Camera, directory: Path, *, start_seconds: float = 60) -> CameraSource:
    """Return the source of `camera`, its upper left fifth masked; its files lie in `directory`."""
    mask, file = directory / "mask.toml", directory / "node.toml"
    mask.write_text(_MASK)
    settings = msgspec.structs.replace(camera, mask_file=str(mask))
    values = msgspec.to_builtins(settings).items()
    lines = [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in values]
    file.write_text(_HEAD + "\n".join(lines))
    return CameraSource(settings, camera_command(file), start_seconds=start_seconds)


class Stills:
    """A sink that remembers, and calls `then` at the fifth still."""

    def __init__(self, camera: Camera, then: Callable[[], None]) -> None:
        self.stills: list[bytes] = []
        self.measured: list[Measured] = []
        self._size = (camera.width, camera.height)
        self._then = then

    def measure(self, kind: str, data: msgspec.Struct) -> None:
        assert kind == "camera"
        assert isinstance(data, Measured)
        self.measured.append(data)

    def event(self, name: str, data: msgspec.Struct) -> None:
        raise NotImplementedError

    def frame(self, jpeg: bytes, *, width: int, height: int, mono: float, simulated: bool) -> None:
        assert (width, height) == self._size
        assert mono > 0
        assert not simulated
        self.stills.append(jpeg)
        if len(self.stills) == _ENOUGH_STILLS:
            self._then()
