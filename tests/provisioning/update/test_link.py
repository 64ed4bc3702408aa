"""A node that answers and says nothing, as one that boots does, is told in one sentence."""

import re
import socket
import threading
from types import SimpleNamespace

import pytest
from fabric import Connection

from node.install.notice import Report
from provisioning.update.errors import NodeError, UnreachableError
from provisioning.update.link import FabricSession, Way, opened
from provisioning.update.notices import Notices, NoticeSession


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


@pytest.mark.parametrize("host", ["pole..lan", "a" * 70 + ".lan", "."])
def test_a_name_that_no_host_can_have_is_not_reached(host: str) -> None:
    with pytest.raises(UnreachableError, match=re.escape(host)), opened(Way(host=host)):
        pytest.fail("it was reached")


def test_a_port_that_cannot_be_is_not_reached() -> None:
    with pytest.raises(UnreachableError), opened(Way(host="127.0.0.1", port=99_999)):
        pytest.fail("it was reached")


DEEP = '{"status":"idle","x":' + "[" * 100_000


def test_what_no_node_says_is_that_nodes_failure_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    said = SimpleNamespace(stdout=DEEP, stderr="")
    monkeypatch.setattr("provisioning.update.link.answer", lambda *_: said)
    with pytest.raises(NodeError):
        FabricSession(Connection("n0")).status()
    notices = Notices()
    monkeypatch.setattr(notices, "ask", lambda *_: Report(id="0" * 16, said=DEEP))
    with pytest.raises(NodeError):
        NoticeSession(notices, "n0").status()
