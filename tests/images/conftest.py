"""Puts the image's own programs on the import path, as their shims do."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "images/layers/update/files/usr/lib/simpul"))
