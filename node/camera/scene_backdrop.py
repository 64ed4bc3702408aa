"""Draws what stands still in the rendered street: sky, hills, shop houses, trees, road, lamps."""

from itertools import pairwise
from math import cos, sin
from random import Random

from node.camera.canvas import Canvas, Colour, Layer

HEIGHT_UNITS = 360.0
"""The street is drawn in units of which 360 fill the height of the picture."""
PAVEMENT_TOP, ROAD_TOP, ROAD_BOTTOM = 212.0, 230.0, 316.0

_WALLS: tuple[Colour, ...] = (
    (226, 214, 186),
    (198, 216, 206),
    (222, 190, 164),
    (206, 208, 216),
    (232, 222, 160),
    (186, 200, 222),
    (214, 176, 176),
)
_SIGNS: tuple[Colour, ...] = (
    (188, 42, 40),
    (34, 88, 150),
    (36, 124, 74),
    (230, 160, 30),
    (96, 52, 120),
)
_ROOFS: tuple[Colour, ...] = ((132, 62, 46), (106, 78, 66), (84, 92, 98), (150, 88, 60))
_WARM: Colour = (255, 214, 140)


def draw_backdrop(random: Random, *, width_units: float, scale: float) -> tuple[Layer, Layer]:
    """Return the street by day, and the lights that shine over it when it gets dark."""
    day = Canvas(width_units, HEIGHT_UNITS, scale=scale)
    night = Canvas(width_units, HEIGHT_UNITS, scale=scale)
    _draw_sky(day, random, width_units)
    _draw_houses(day, night, random, width_units)
    _draw_road(day, random, width_units)
    _draw_lamps(day, night, random, width_units)
    return day.layer(), night.layer()


def _draw_sky(day: Canvas, random: Random, width: float) -> None:
    day.shade(0, 150, (112, 164, 212), (206, 222, 228))
    day.shade(150, HEIGHT_UNITS, (206, 222, 228), (206, 222, 228))
    for _ in range(7):
        x, y = random.uniform(0, width), random.uniform(12, 62)
        for _ in range(6):
            day.glow(
                x + random.uniform(-34, 34),
                y + random.uniform(-6, 6),
                random.uniform(16, 34),
                (250, 250, 248),
                ink=0.55,
            )
    for colour, base, tall in (((126, 152, 164), 128, 26), ((92, 128, 112), 142, 20)):
        phase, bend = random.uniform(0, 6), random.uniform(0.008, 0.014)
        for x in range(0, int(width) + 8, 8):
            left, right = (
                base - tall * (0.6 + 0.4 * sin(at * bend + phase) + 0.2 * cos(at * bend * 2.7))
                for at in (x, x + 8)
            )
            day.polygon([(x, left), (x + 8.4, right), (x + 8.4, 230), (x, 230)], colour)


def _draw_houses(day: Canvas, night: Canvas, random: Random, width: float) -> None:
    x = -random.uniform(0, 40)
    while x < width:
        if random.random() < 0.18:  # noqa: PLR2004 - a gap with a tree now and then
            _draw_tree(day, random, x + 20)
            x += 40
            continue
        wide = random.uniform(62, 104)
        _draw_house(day, night, random, x, x + wide)
        x += wide + random.choice((0, 0, 3))


def _draw_house(day: Canvas, night: Canvas, random: Random, left: float, right: float) -> None:
    floors = random.choice((1, 2, 2, 2, 3))
    wall, sign, roof = random.choice(_WALLS), random.choice(_SIGNS), random.choice(_ROOFS)
    ground = PAVEMENT_TOP + 3
    top = ground - 46 - (floors - 1) * 36
    shade: Colour = (wall[0] * 0.8, wall[1] * 0.8, wall[2] * 0.8)
    if floors < 3:  # noqa: PLR2004 - the tallest have flat roofs
        day.polygon(
            [
                (left + 8, top - 20),
                (right - 8, top - 20),
                (right + 3, top + 2),
                (left - 3, top + 2),
            ],
            roof,
        )
    else:
        day.box(left - 1, top - 5, right + 1, top + 1, shade)
    day.box(left, top, right, ground, wall)
    day.box(right - 4, top, right, ground, shade)
    for floor in range(1, floors):
        _draw_windows(day, night, random, left, right, ground - 46 - floor * 36 + 8)
        day.box(
            left, ground - 46 - (floor - 1) * 36 - 2, right, ground - 44 - (floor - 1) * 36, shade
        )
    _draw_shop(day, night, random, left, right, ground, sign)


def _draw_windows(
    day: Canvas, night: Canvas, random: Random, left: float, right: float, top: float
) -> None:
    count = max(2, int((right - left) / 26))
    pitch = (right - left) / count
    for number in range(count):
        x = left + pitch * (number + 0.5)
        day.box(x - 8, top - 1, x + 8, top + 19, (236, 232, 222))
        day.box(x - 6.5, top, x + 6.5, top + 18, (70, 88, 100))
        day.polygon([(x - 6.5, top), (x + 1, top), (x - 6.5, top + 12)], (112, 134, 146), ink=0.7)
        day.box(x - 0.6, top, x + 0.6, top + 18, (226, 220, 208))
        if random.random() < 0.55:  # noqa: PLR2004 - not everybody is at home
            night.box(x - 6.5, top, x + 6.5, top + 18, _WARM, ink=0.85)


def _draw_shop(  # noqa: PLR0913, PLR0917 - a place and its looks
    day: Canvas,
    night: Canvas,
    random: Random,
    left: float,
    right: float,
    ground: float,
    sign: Colour,
) -> None:
    day.box(left + 4, ground - 43, right - 4, ground - 32, sign)
    x = left + 10
    while x < right - 16:  # strokes that read as lettering from afar
        wide = random.uniform(2, 6)
        day.box(x, ground - 40, x + wide, ground - 35, (246, 240, 226))
        x += wide + 2.2
    night.box(left + 4, ground - 43, right - 4, ground - 32, sign, ink=0.9)
    if random.random() < 0.45:  # noqa: PLR2004 - closed: a roller shutter
        day.box(left + 6, ground - 28, right - 8, ground, (150, 154, 156))
        for row in range(7):
            day.box(
                left + 6, ground - 27 + row * 4, right - 8, ground - 26 + row * 4, (120, 124, 128)
            )
        return
    day.box(left + 6, ground - 28, right - 8, ground, (58, 50, 46))
    night.box(left + 6, ground - 28, right - 8, ground, _WARM, ink=0.9)
    for shelf in (20.0, 11.0):
        x = left + 9
        while x < right - 16:
            wide = random.uniform(3, 8)
            tall = random.uniform(3, 7)
            day.box(
                x, ground - shelf - tall + 7, x + wide, ground - shelf + 7, random.choice(_WALLS)
            )
            x += wide + random.uniform(1, 4)
    stripes = int((right - left - 6) / 8)
    for number in range(stripes):
        x = left + 3 + number * 8
        colour = sign if number % 2 else (238, 234, 226)
        day.polygon(
            [(x, ground - 31), (x + 8, ground - 31), (x + 8, ground - 22), (x, ground - 22)], colour
        )


def _draw_tree(day: Canvas, random: Random, x: float) -> None:
    day.box(x - 3, 150, x + 3, PAVEMENT_TOP + 4, (92, 72, 54))
    for _ in range(26):
        green = random.uniform(-14, 20)
        day.ellipse(
            x + random.uniform(-26, 26),
            136 + random.uniform(-26, 24),
            random.uniform(8, 15),
            random.uniform(7, 12),
            (48 + green * 0.6, 98 + green, 52 + green * 0.4),
        )


def _draw_road(day: Canvas, random: Random, width: float) -> None:
    day.shade(PAVEMENT_TOP, ROAD_TOP, (176, 168, 158), (186, 178, 168))
    day.box(0, ROAD_TOP - 4, width, ROAD_TOP, (126, 120, 114))
    for x in range(0, int(width), 24):
        colour: Colour = (232, 232, 228) if x // 24 % 2 else (40, 40, 42)
        day.box(x, ROAD_TOP - 4, x + 24, ROAD_TOP - 1.5, colour)
    day.shade(ROAD_TOP, ROAD_BOTTOM, (88, 90, 94), (104, 104, 106))
    for _ in range(60):
        day.ellipse(
            random.uniform(0, width),
            random.uniform(ROAD_TOP + 3, ROAD_BOTTOM - 3),
            random.uniform(6, 40),
            random.uniform(0.6, 2),
            random.choice(((80, 80, 84), (112, 112, 112))),
            ink=0.35,
        )
    for x in range(int(-random.uniform(0, 40)), int(width), 52):
        day.polygon([(x, 269.5), (x + 26, 269.5), (x + 25, 272.5), (x - 1, 272.5)], (226, 226, 220))
    day.shade(ROAD_BOTTOM, ROAD_BOTTOM + 6, (140, 134, 128), (128, 122, 116))
    day.shade(ROAD_BOTTOM + 6, HEIGHT_UNITS, (188, 176, 160), (166, 154, 140))
    for x in range(-80, int(width) + 80, 26):
        day.line((x + 12, ROAD_BOTTOM + 6), (x, HEIGHT_UNITS), 0.9, (146, 136, 124))
    day.line((0, ROAD_BOTTOM + 22), (width, ROAD_BOTTOM + 22), 0.9, (146, 136, 124))


def _draw_lamps(day: Canvas, night: Canvas, random: Random, width: float) -> None:
    poles = [random.uniform(20, 90) + number * 190 for number in range(int(width / 190) + 1)]
    for height, sag in ((66, 12), (71, 15), (76, 13)):
        ends = [-120.0, *poles, width + 120]
        for start, end in pairwise(ends):
            _draw_cable(day, start, end, height, sag)
    for x in poles:
        day.box(x - 1.8, 58, x + 1.8, PAVEMENT_TOP + 8, (112, 110, 106))
        day.box(x - 12, 64, x + 12, 66, (92, 90, 88))
        day.line((x, 92), (x + 22, 86), 1.6, (96, 96, 98))
        day.ellipse(x + 24, 87, 5, 2.2, (206, 206, 200))
        night.glow(x + 24, 92, 60, _WARM, ink=0.55)
        night.ellipse(x + 24, 88, 5, 2.4, (255, 244, 210))


def _draw_cable(day: Canvas, start: float, end: float, height: float, sag: float) -> None:
    steps = 10
    points = [
        (start + (end - start) * i / steps, height + sag * 4 * (i / steps) * (1 - i / steps))
        for i in range(steps + 1)
    ]
    for one, two in pairwise(points):
        day.line(one, two, 0.7, (52, 54, 58))
