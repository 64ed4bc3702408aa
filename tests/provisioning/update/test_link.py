"""A node that answers and says nothing, as one that boots does, is told in one sentence."""

import socket
import threading

import pytest

from provisioning.update.errors import UnreachableError
from provisioning.update.link import Way, opened


def test_a_node_that_hangs_up_leaves_no_trace_on_the_terminal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as node:

        def hang_up() -> None:
            node.accept()[0].close()

        hangs_up = threading.Thread(target=hang_up)
        hangs_up.start()
        way = Way(host="127.0.0.1", port=node.getsockname()[1])
        with pytest.raises(UnreachableError, match=r"^127\.0\.0\.1: .*banner"), opened(way):
            pytest.fail("it was spoken to")
        hangs_up.join()
    assert caplog.records == []
