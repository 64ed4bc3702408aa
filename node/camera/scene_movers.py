"""Draws what moves in the rendered street: minibuses, cars, motorbikes and people."""

from random import Random

from node.camera.canvas import Canvas, Colour, Layer

_TYRE: Colour = (28, 28, 30)
_RIM: Colour = (150, 152, 155)
_GLASS: Colour = (62, 78, 90)
_SHADOW: Colour = (30, 30, 34)
_SKIN: tuple[Colour, ...] = ((141, 97, 68), (120, 82, 58), (166, 120, 88))
_CLOTH: tuple[Colour, ...] = (
    (196, 60, 54),
    (52, 96, 168),
    (236, 226, 206),
    (64, 132, 88),
    (224, 166, 54),
    (108, 74, 130),
    (60, 62, 70),
)
_PAINT: tuple[Colour, ...] = (
    (214, 214, 212),
    (58, 60, 66),
    (150, 30, 34),
    (44, 70, 120),
    (150, 152, 156),
    (196, 178, 140),
)
STEPS_COUNT = 4
"""Pictures of one stride of a person."""


def draw_angkot(random: Random, *, body: Colour, scale: float) -> Layer:
    """Draw a minibus of 4 x 2 m that heads right; `scale` is pixels a metre."""
    sheet = Canvas(4.4, 2.1, scale=scale)
    dark: Colour = (body[0] * 0.7, body[1] * 0.7, body[2] * 0.7)
    _shade_below(sheet, 0.3, 4.1, 1.95)
    sheet.box(0.25, 0.2, 3.3, 1.6, body)
    sheet.polygon([(3.3, 0.22), (3.62, 0.3), (4.12, 0.98), (3.3, 0.98)], body)
    sheet.box(3.3, 0.95, 4.16, 1.6, body)
    sheet.box(0.25, 1.25, 4.16, 1.36, random.choice(_CLOTH))
    sheet.box(0.25, 1.5, 4.16, 1.64, dark)
    sheet.box(0.4, 0.1, 2.9, 0.2, dark)
    for left in (0.42, 1.12, 1.82):
        sheet.box(left, 0.36, left + 0.58, 0.85, _GLASS)
        if random.random() < 0.6:  # noqa: PLR2004 - most seats are taken
            sheet.ellipse(left + 0.3, 0.66, 0.12, 0.15, random.choice(_SKIN))
            sheet.box(left + 0.12, 0.78, left + 0.48, 0.85, random.choice(_CLOTH))
    sheet.box(2.52, 0.36, 3.16, 1.5, _SHADOW)
    sheet.polygon([(3.32, 0.36), (3.56, 0.38), (3.98, 0.93), (3.32, 0.93)], _GLASS)
    sheet.box(4.08, 1.05, 4.18, 1.25, (250, 240, 200))
    sheet.box(0.22, 1.05, 0.3, 1.25, (190, 30, 26))
    _wheel(sheet, 0.95, 1.66, 0.3)
    _wheel(sheet, 3.5, 1.66, 0.3)
    return sheet.layer()


def draw_car(random: Random, *, scale: float) -> Layer:
    """Draw a family car of 4.2 x 1.7 m that heads right."""
    sheet = Canvas(4.5, 1.8, scale=scale)
    body = random.choice(_PAINT)
    _shade_below(sheet, 0.2, 4.3, 1.66)
    sheet.polygon([(0.75, 0.12), (2.65, 0.12), (3.35, 0.72), (0.4, 0.72)], body)
    sheet.polygon([(0.88, 0.2), (1.6, 0.2), (1.6, 0.68), (0.6, 0.68)], _GLASS)
    sheet.polygon([(1.72, 0.2), (2.58, 0.2), (3.1, 0.68), (1.72, 0.68)], _GLASS)
    sheet.box(0.2, 0.68, 4.2, 1.32, body)
    sheet.polygon([(4.0, 0.7), (4.3, 0.86), (4.3, 1.3), (4.0, 1.3)], body)
    sheet.box(0.2, 1.22, 4.3, 1.38, (48, 48, 52))
    sheet.box(4.14, 0.82, 4.3, 0.98, (250, 244, 214))
    sheet.box(0.18, 0.78, 0.3, 0.98, (190, 30, 26))
    _wheel(sheet, 1.0, 1.36, 0.3)
    _wheel(sheet, 3.4, 1.36, 0.3)
    return sheet.layer()


def draw_motorbike(random: Random, *, scale: float) -> Layer:
    """Draw a motorbike of 2 x 1.7 m with one rider or two that heads right."""
    sheet = Canvas(2.2, 1.75, scale=scale)
    body, shirt, helmet = random.choice(_CLOTH), random.choice(_CLOTH), random.choice(_PAINT)
    _shade_below(sheet, 0.2, 2.0, 1.62)
    _wheel(sheet, 0.42, 1.36, 0.27)
    _wheel(sheet, 1.74, 1.36, 0.27)
    sheet.polygon([(0.25, 0.92), (1.1, 0.92), (1.3, 1.2), (0.6, 1.32)], body)
    sheet.polygon([(1.3, 0.8), (1.56, 0.74), (1.74, 1.3), (1.2, 1.3)], body)
    sheet.line((1.45, 0.68), (1.74, 1.34), 0.09, _SHADOW)
    sheet.box(0.3, 0.86, 1.12, 0.95, _SHADOW)
    riders = [(0.95, shirt, helmet)]
    if random.random() < 0.4:  # noqa: PLR2004 - many carry someone
        riders.insert(0, (0.5, random.choice(_CLOTH), random.choice(_PAINT)))
    for seat, cloth, shell in riders:
        sheet.line((seat, 0.88), (seat + 0.38, 0.98), 0.17, (52, 56, 70))
        sheet.line((seat + 0.38, 0.96), (seat + 0.34, 1.34), 0.14, (52, 56, 70))
        sheet.polygon(
            [(seat - 0.06, 0.42), (seat + 0.26, 0.42), (seat + 0.18, 0.94), (seat - 0.2, 0.94)],
            cloth,
        )
        sheet.line((seat + 0.14, 0.5), (seat + 0.52, 0.72), 0.11, cloth)
        sheet.ellipse(seat + 0.14, 0.26, 0.15, 0.17, shell)
        sheet.box(seat + 0.16, 0.22, seat + 0.29, 0.32, _GLASS)
    return sheet.layer()


def draw_person(random: Random, *, scale: float) -> tuple[Layer, ...]:
    """Draw the steps of someone of 1.6 m who walks right."""
    shirt, skin = random.choice(_CLOTH), random.choice(_SKIN)
    legs = random.choice(((44, 48, 64), (70, 62, 54), (30, 30, 34)))
    veil = random.choice(_CLOTH) if random.random() < 0.35 else None  # noqa: PLR2004 - some do
    bag = random.random() < 0.4  # noqa: PLR2004 - some do
    return tuple(
        _draw_step(step, shirt, skin, legs, veil, bag=bag, scale=scale)
        for step in (0.22, 0.0, -0.22, 0.0)
    )


def _draw_step(  # noqa: PLR0913 - one person's looks
    step: float,
    shirt: Colour,
    skin: Colour,
    legs: Colour,
    veil: Colour | None,
    *,
    bag: bool,
    scale: float,
) -> Layer:
    sheet = Canvas(0.9, 1.75, scale=scale)
    sheet.ellipse(0.45, 1.68, 0.3, 0.06, _SHADOW, ink=0.4)
    for swing in (step, -step):
        sheet.line((0.45, 0.92), (0.45 + swing, 1.66), 0.15, legs)
    sheet.line((0.45, 0.5), (0.45 - step * 0.9, 0.96), 0.1, skin)
    sheet.polygon([(0.3, 0.4), (0.6, 0.4), (0.58, 1.0), (0.32, 1.0)], shirt)
    sheet.line((0.47, 0.46), (0.47 + step * 0.9, 0.94), 0.11, shirt)
    sheet.ellipse(0.47, 0.22, 0.12, 0.15, skin)
    if veil is None:
        sheet.ellipse(0.45, 0.15, 0.13, 0.1, (24, 20, 20))
    else:
        sheet.ellipse(0.43, 0.19, 0.14, 0.16, veil)
        sheet.polygon([(0.34, 0.28), (0.56, 0.3), (0.6, 0.52), (0.3, 0.52)], veil)
        sheet.ellipse(0.52, 0.22, 0.07, 0.1, skin)
    if bag:
        sheet.box(0.2, 0.78, 0.36, 1.02, (120, 84, 52))
    return sheet.layer()


def _wheel(sheet: Canvas, x: float, y: float, radius: float) -> None:
    sheet.ellipse(x, y, radius, radius, _TYRE)
    sheet.ellipse(x, y, radius * 0.5, radius * 0.5, _RIM)


def _shade_below(sheet: Canvas, left: float, right: float, ground: float) -> None:
    sheet.ellipse((left + right) / 2, ground, (right - left) / 2, 0.1, _SHADOW, ink=0.45)
