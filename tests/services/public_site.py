"""A public directory and the places that stand in it, for tests of the citizens' page."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import simplejpeg


class Site:
    """A public directory that is being served."""

    def __init__(self, public: Path) -> None:
        self.public = public
        self.url = ""
        (public / "stills").mkdir(parents=True)

    def show(self, *places: dict[str, object], written_ago: float = 0) -> None:
        written_at = datetime.now(UTC) - timedelta(seconds=written_ago)
        content = {
            "generated_at": written_at.isoformat(), "stale_seconds": 60.0, "cameras": places,
        }  # fmt: skip
        (self.public / "cameras.json").write_text(json.dumps(content))

    def still(self, node: str) -> None:
        picture = np.full((96, 160, 3), 90, np.uint8)
        (self.public / "stills" / f"{node}.jpg").write_bytes(simplejpeg.encode_jpeg(picture))


def place(node: str = "pasar-horas", *, age: float = 12, **changes: object) -> dict[str, object]:
    return {
        "id": node, "name": node.replace("-", " ").title(), "site": "Jl. Merdeka",
        "state": "online", "camera": True, "still": f"stills/{node}.jpg?v=00000001",
        "updated_at": (datetime.now(UTC) - timedelta(seconds=age)).isoformat(),
        "simulated": False, "hotspot": {"users": 12, "fewer_than": None, "simulated": False},
        **changes,
    }  # fmt: skip
