"""Shows the technician's checklist and the camera's picture in the terminal."""

import io
from collections.abc import Iterable

import msgspec
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from provisioning.enrol.checklist import Check, needs_a_look
from provisioning.printable import printable

_MARKS = {
    "good": ("green", "✔ baik / good"),
    "bad": ("bold red", "✘ periksa / look"),
    "unseen": ("bold red", "✘ belum terlihat / not seen"),
    "unknown": ("yellow", "? belum tahu / not known"),
    "absent": ("dim", "- tidak dipasang / not fitted"),
}
_PICTURE_COLUMNS = 72
_YES = frozenset({"y", "ya", "yes"})


def checklist_table(node: str, checks: Iterable[Check]) -> RenderableType:
    """Return the list as a table, with advice below for what is bad or was not seen."""
    table = Table(title=f"Simpul {escape(node)}", title_justify="left")
    for heading in ("pemeriksaan", "check", "hasil / result", ""):
        table.add_column(heading)
    advice: list[Text] = []
    for check in checks:
        style, mark = _MARKS[check.verdict]
        value = Text(printable(check.value))  # as the node told it
        table.add_row(check.indonesian, check.english, Text(mark, style), value)
        if needs_a_look(check):
            advice.append(Text(f"✘ {check.indonesian}: {check.advice_indonesian}", "red"))
            advice.append(Text(f"  {check.english}: {check.advice_english}", "red"))
    return Group(table, *advice)


def checklist_json(node: str, checks: Iterable[Check], *, good: bool) -> str:
    """Return the list for other programs."""
    return msgspec.json.encode({"node": node, "good": good, "checks": list(checks)}).decode()


def is_right_view(console: Console) -> bool:
    """Ask whether the picture shown last is the right view; no answer at all is a no."""
    try:
        # As text, because in a markup [y/t] is a style.
        answer = console.input(Text("Apakah ini arah yang benar? / Is this the right view? [y/t] "))
    except EOFError:
        return False
    return answer.strip().lower() in _YES


def picture(jpeg: bytes, console: Console) -> RenderableType:
    """Return a still drawn in half blocks, as wide as the terminal allows.

    A sentence instead, when the still cannot be read.
    """
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - only here
    from rich_pixels import Pixels  # noqa: PLC0415 - as above

    columns = min(_PICTURE_COLUMNS, console.width)
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as still:
            still.draft("RGB", (columns, columns))
            rows = max(2, round(columns * still.height / still.width))
            drawn: RenderableType = Pixels.from_image(still.convert("RGB"), resize=(columns, rows))
            return drawn
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError) as error:
        return Text(printable(f"the still cannot be shown: {error}"), "red")
