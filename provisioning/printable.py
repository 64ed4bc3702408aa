"""Makes text that came from elsewhere fit for a terminal, which would obey what is hidden in it."""

import re

# Controls (C0, DEL, C1; ECMA-48), what turns the direction of writing (Unicode UAX 9), and halves
# of characters, which no terminal can be given.
_CONTROLS = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_BYTE_MAX = 0xFF


def printable(text: str, *, keep: str = "") -> str:
    r"""Return `text` with each control written out (\x1b, \u202e), but those in `keep`."""

    def written(match: re.Match[str]) -> str:
        control = match[0]
        if control in keep:
            return control
        code = ord(control)
        return f"\\x{code:02x}" if code <= _BYTE_MAX else f"\\u{code:04x}"

    return _CONTROLS.sub(written, text)
