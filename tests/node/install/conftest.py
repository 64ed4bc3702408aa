"""A node below a folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from services.install_node import Node, make_node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = make_node(tmp_path)
    yield made
    made.service.stop()
