"""A release of the agent on a node: only a signed one is taken, and only a sound one is kept."""

import pytest

from hil_tests.bench.run import Bench
from hil_tests.bench.traffic import Heard
from hil_tests.releases import Office, open_office

pytestmark = pytest.mark.needs("ssh")
_SECONDS = 300
_REFUSED, _TAKEN_BACK = 3, 4  # exit statuses of `simpul-node install`
_NOTE = "share/note"


@pytest.fixture(scope="module")
def opened(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Office:
    bench.strategy.transition("provisioned")
    bench.strategy.transition("released")
    return open_office(bench, tmp_path_factory.mktemp("office"))


@pytest.fixture
def office(node: Bench, opened: Office) -> Office:
    assert opened.node is node
    return opened


def _born_anew(node: Bench, mark: int) -> None:
    def online(heard: Heard) -> bool:
        return bool(heard.data()["online"])

    node.traffic.wait_for("state", since=mark, timeout_seconds=_SECONDS, that=online)


def test_one_signature_is_too_few(office: Office) -> None:
    before = office.current()
    office.give({_NOTE: b"unsigned"}, signed=False)
    assert office.install().status == _REFUSED
    assert office.current() == before


def test_a_signed_release_is_tried_kept_and_given_up(office: Office) -> None:
    node, before = office.node, office.current()
    mark = node.traffic.count()
    office.give({_NOTE: b"good"})
    done = office.install()
    assert (done.status, done.outcome["status"]) == (0, "trial"), done
    _born_anew(node, mark)
    assert office.ask("confirm", str(done.outcome["release"])).status == 0
    assert office.current() == done.outcome["release"] != before
    mark = node.traffic.count()
    assert office.ask("rollback", "--patience", "240").status == 0
    _born_anew(node, mark)
    assert office.current() == before
    assert office.ask("confirm", before).status == 0  # nothing else is installed meanwhile


def test_a_sick_release_is_taken_back(office: Office) -> None:
    node, before = office.node, office.current()
    mark = node.traffic.count()
    site = f"lib/python{office.manifest.python}/site-packages"
    sick = b'"""Ends the agent at its first word."""\n\nraise SystemExit(9)\n'
    office.give({f"{site}/node/systemd.py": sick})
    done = office.install()
    assert done.status in {_REFUSED, _TAKEN_BACK}, done
    assert office.current() == before
    if done.status == _TAKEN_BACK:  # it was started; else the node refused it unseen
        _born_anew(node, mark)
