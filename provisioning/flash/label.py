"""Makes the printable labels of finished cards: node, site, card and date, readable and as QR."""

from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Self

import segno
from fpdf import FPDF
from fpdf.errors import FPDFException
from msgspec import Struct

from node.durable import replace_file
from provisioning.flash.errors import StationError
from provisioning.inventory import Node

# A common roll of label printers; on A4 it prints in the corner.
_WIDTH_MM, _HEIGHT_MM = 62.0, 29.0
_MARGIN_MM = 2.0
_QR_MM = 25.0
_LINE_MM = 5.0
_FINGERPRINT_SHOWN = 19  # "SHA256:" and twelve characters
_TEXT_MM = _WIDTH_MM - _QR_MM - 3 * _MARGIN_MM


class Label(Struct, frozen=True, kw_only=True):
    """What stands on the label of one card; `card` is the start of its SSH host fingerprint."""

    node: str
    title: str
    site: str
    card: str
    date: str

    @classmethod
    def of(cls, node: Node, fingerprints: Sequence[str], date: str) -> Self:
        """Return the label of a node's card."""
        card = fingerprints[0][:_FINGERPRINT_SHOWN] if fingerprints else ""
        return cls(node=node.name, title=node.title, site=node.site, card=card, date=date)

    @property
    def code(self) -> str:
        """Return what the QR code says: one line that a scanner types."""
        return f"simpul:{self.node}?site={self.site}&card={self.card}&date={self.date}"


def write_labels(file: Path, labels: Iterable[Label]) -> None:
    """Write a PDF, one page for each label; whole or not at all. Raises StationError."""
    pdf = FPDF(orientation="landscape", unit="mm", format=(_HEIGHT_MM, _WIDTH_MM))
    pdf.set_auto_page_break(auto=False)
    pdf.set_margin(_MARGIN_MM)
    for label in labels:
        pdf.add_page()
        picture = BytesIO()
        segno.make_qr(label.code, error="m").save(picture, kind="png", scale=8, border=1)
        pdf.image(picture, x=_MARGIN_MM, y=_MARGIN_MM, w=_QR_MM, h=_QR_MM)
        _line(pdf, 0, label.node, 11, "B")
        _line(pdf, 1, label.title, 8)
        _line(pdf, 2, label.site, 8)
        _line(pdf, 3, label.card, 6)
        _line(pdf, 4, label.date, 8)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, bytes(pdf.output()))
    except (OSError, FPDFException) as error:
        raise StationError(f"{file}: the labels cannot be written: {error}") from error


def _line(pdf: FPDF, row: int, text: str, size_points: float, style: str = "") -> None:
    """Write one line, smaller when it would not fit. The standard font knows Latin-1."""
    known = text.encode("latin-1", errors="replace").decode("latin-1")
    pdf.set_font("Helvetica", style=style, size=size_points)
    while size_points > 4 and pdf.get_string_width(known) > _TEXT_MM:  # noqa: PLR2004 - points
        size_points -= 0.5
        pdf.set_font_size(size_points)
    pdf.set_xy(_QR_MM + 2 * _MARGIN_MM, _MARGIN_MM + row * _LINE_MM)
    pdf.cell(_TEXT_MM, _LINE_MM, known)
