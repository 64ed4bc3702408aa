"""A street that the program draws itself: what there is to see at any second, by a seed.

The same name and second give the same picture on every machine; another name, another street.
"""

from dataclasses import dataclass
from math import cos, pi
from random import Random

import numpy as np
from numpy.typing import NDArray

from node.camera.canvas import Colour, Layer
from node.camera.frame import Picture, Plane, blank_picture
from node.camera.scene_backdrop import HEIGHT_UNITS, draw_backdrop
from node.camera.scene_movers import draw_angkot, draw_car, draw_motorbike, draw_person

_LIGHT_CYCLE_SECONDS = 1200.0  # from noon to dusk and back
_LIGHT_MIN = 0.34
_LIGHT_STEPS = 96
_LAMPS_BELOW = 0.72
_NOISE_SIGMA, _NOISE_MAX = 2.2, 7
_NOISE_SPARE = 64  # pixels by which the sheet of noise is larger than the picture
_ANGKOT: tuple[Colour, ...] = ((44, 128, 84), (200, 48, 44), (36, 92, 170), (226, 150, 36))
_STRIDES_PER_SECOND = 1.9


@dataclass(frozen=True, slots=True, eq=False)
class _Mover:
    """Something on its way along the street, over and over."""

    steps: tuple[Layer, ...]
    ground_units: float
    speed_units: float
    """Per second; to the left when negative."""
    offset_units: float
    loop_units: float
    phase: float


class Scene:
    """One street in one size."""

    def __init__(self, name: str, *, width: int, height: int) -> None:
        """Draw everything once; that takes up to a second, a picture only milliseconds."""
        random = Random(f"simpul {name}")  # noqa: S311 - a drawing, not a secret
        self._size = (width, height)
        self._scale = height / HEIGHT_UNITS
        self._width_units = width / self._scale
        self._day, self._night = draw_backdrop(
            random, width_units=self._width_units, scale=self._scale
        )
        self._movers = self._populate(random)
        self._light_phase = random.uniform(0, 0.12)
        seed = random.getrandbits(32)
        noise = np.random.default_rng(seed).normal(
            0, _NOISE_SIGMA, (height + _NOISE_SPARE, width + _NOISE_SPARE)
        )
        # Wrapping bytes: adding 255 takes one away, which is fast and safe within the margins.
        self._noise: Plane = (
            np.clip(np.rint(noise), -_NOISE_MAX, _NOISE_MAX).astype(np.int8).view(np.uint8)
        )
        self._seed = seed
        self._level = -1
        self._lit_backdrop = blank_picture(width, height)
        self._lit_movers: dict[int, Layer] = {}

    def draw(self, seconds: float, number: int) -> Picture:
        """Return the street at `seconds`; `number` of the frame makes the sensor's noise."""
        self._light(seconds)
        picture = Picture(self._lit_backdrop.planes.copy())
        for mover in self._movers:
            self._place(picture, mover, seconds)
        across, down = ((self._seed ^ number * 2_654_435_761) >> shift for shift in (7, 17))
        left, top = across % _NOISE_SPARE, down % _NOISE_SPARE
        width, height = self._size
        luma = picture.y
        np.add(luma, self._noise[top : top + height, left : left + width], out=luma)
        return picture

    def _populate(self, random: Random) -> tuple[_Mover, ...]:
        """Return what moves, the farthest first."""
        livery = _ANGKOT[random.randrange(len(_ANGKOT))]
        movers = [
            *self._walkers(random, 7, ground=224, metre=15.5),
            *self._lane(random, livery, ground=258, metre=17.5, speed=random.uniform(62, 80)),
            *self._riders(random, 4, ground=264, metre=18, speed=random.uniform(88, 104)),
            *self._riders(random, 4, ground=282, metre=20, speed=-random.uniform(96, 112)),
            *self._lane(random, livery, ground=305, metre=22.5, speed=-random.uniform(70, 90)),
            *self._walkers(random, 5, ground=338, metre=26),
        ]
        return tuple(movers)

    def _lane(
        self, random: Random, livery: Colour, *, ground: float, metre: float, speed: float
    ) -> list[_Mover]:
        """Return vehicles that follow each other at one speed."""
        offsets = [0.0]
        while offsets[-1] < self._width_units * 2.2:
            offsets.append(offsets[-1] + metre * 5 + random.expovariate(1 / 130))
        movers = []
        for offset in offsets[:-1]:
            scale = metre * self._scale
            if random.random() < 0.55:  # noqa: PLR2004 - the city rides minibuses
                layer = draw_angkot(random, body=livery, scale=scale)
            else:
                layer = draw_car(random, scale=scale)
            movers.append(self._mover((layer,), ground, speed, offset, offsets[-1]))
        return movers

    def _riders(
        self, random: Random, count: int, *, ground: float, metre: float, speed: float
    ) -> list[_Mover]:
        loop = self._width_units * 2
        return [
            self._mover(
                (draw_motorbike(random, scale=metre * self._scale),),
                ground + random.uniform(-2, 2),
                speed * random.uniform(0.9, 1.1),
                random.uniform(0, loop),
                loop,
            )
            for _ in range(count)
        ]

    def _walkers(self, random: Random, count: int, *, ground: float, metre: float) -> list[_Mover]:
        loop = self._width_units * 1.3
        grounds = sorted(ground + random.uniform(-3, 4) for _ in range(count))
        return [
            self._mover(
                draw_person(random, scale=metre * self._scale),
                at,
                random.choice((1, -1)) * metre * random.uniform(0.9, 1.4),
                random.uniform(0, loop),
                loop,
                phase=random.random(),
            )
            for at in grounds
        ]

    def _mover(
        self,
        steps: tuple[Layer, ...],
        ground: float,
        speed: float,
        offset: float,
        loop: float,
        phase: float = 0.0,
    ) -> _Mover:
        if speed < 0:
            steps = tuple(_mirrored(step) for step in steps)
        return _Mover(steps, ground, speed, offset, loop + 120, phase)

    def _light(self, seconds: float) -> None:
        """Bring backdrop and movers to the light of this second; it changes in small steps."""
        turn = seconds / _LIGHT_CYCLE_SECONDS + self._light_phase
        level = round((0.5 + 0.5 * cos(2 * pi * turn)) * _LIGHT_STEPS)
        if level == self._level:
            return
        self._level = level
        self._lit_movers = {}
        lit = self._lit(self._day)
        part = (level / _LIGHT_STEPS) * (1 - _LIGHT_MIN) + _LIGHT_MIN
        lamps = max(0.0, (_LAMPS_BELOW - part) / (_LAMPS_BELOW - _LIGHT_MIN))
        picture = blank_picture(*self._size)
        for target, plane in zip(
            (picture.y, picture.u, picture.v), (lit.y, lit.u, lit.v), strict=True
        ):
            target[:] = plane[: target.shape[0], : target.shape[1]]
        if lamps:
            night = self._night
            alpha = (night.alpha * lamps).astype(np.int16)
            alpha_chroma = (night.alpha_chroma * lamps).astype(np.int16)
            _lay(picture, Layer(night.y.clip(8, 247), night.u, night.v, alpha, alpha_chroma), 0, 0)
        self._lit_backdrop = picture

    def _lit(self, layer: Layer) -> Layer:
        """Return a layer in the present light: darker, and warmer towards dusk."""
        part = (self._level / _LIGHT_STEPS) * (1 - _LIGHT_MIN) + _LIGHT_MIN
        values = np.arange(256)
        darker = np.clip(values * part, 8, 247).astype(np.uint8)  # margins for the noise
        warmth = (1 - part) * 14
        blue = np.clip(128 + (values - 128) * (0.4 + 0.6 * part) - warmth, 0, 255).astype(np.uint8)
        red = np.clip(128 + (values - 128) * (0.4 + 0.6 * part) + warmth, 0, 255).astype(np.uint8)
        return Layer(darker[layer.y], blue[layer.u], red[layer.v], layer.alpha, layer.alpha_chroma)

    def _place(self, picture: Picture, mover: _Mover, seconds: float) -> None:
        along = (mover.offset_units + mover.speed_units * seconds) % mover.loop_units - 110
        step = mover.steps[
            int((seconds * _STRIDES_PER_SECOND + mover.phase) * len(mover.steps)) % len(mover.steps)
        ]
        rows, columns = step.alpha.shape
        left = round(along * self._scale / 2) * 2
        top = round((mover.ground_units * self._scale - rows) / 2) * 2
        if left <= -columns or left >= self._size[0]:
            return
        lit = self._lit_movers.get(id(step))
        if lit is None:
            lit = self._lit_movers[id(step)] = self._lit(step)
        _lay(picture, lit, left, top)


def _mirrored(layer: Layer) -> Layer:
    planes = (layer.y, layer.u, layer.v)
    y, u, v = (np.ascontiguousarray(plane[:, ::-1]) for plane in planes)
    alpha, alpha_chroma = (
        np.ascontiguousarray(part[:, ::-1]) for part in (layer.alpha, layer.alpha_chroma)
    )
    return Layer(y, u, v, alpha, alpha_chroma)


def _lay(picture: Picture, layer: Layer, left: int, top: int) -> None:
    """Lay a layer over the picture with its corner at even pixels; what stands over is cut."""
    _blend(picture.y, layer.y, layer.alpha, left, top)
    _blend(picture.u, layer.u, layer.alpha_chroma, left // 2, top // 2)
    _blend(picture.v, layer.v, layer.alpha_chroma, left // 2, top // 2)


def _blend(target: Plane, plane: Plane, alpha: NDArray[np.int16], left: int, top: int) -> None:
    rows = slice(max(0, -top), max(0, min(plane.shape[0], target.shape[0] - top)))
    columns = slice(max(0, -left), max(0, min(plane.shape[1], target.shape[1] - left)))
    under = target[top + rows.start : top + rows.stop, left + columns.start : left + columns.stop]
    # The difference times 256 leaves 16 bits; so seven bits of coverage are used.
    change = (plane[rows, columns].astype(np.int16) - under) * (alpha[rows, columns] >> 1) >> 7
    under += change.astype(np.int8).view(np.uint8)
