"""Picks the bench, holds it for the run, and keeps what each test left: log, traffic, pictures."""

import json
import re
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from labgrid import Target
from labgrid.binding import BindingState
from labgrid.driver.exception import ExecutionError

from hil_tests.bench.environment import FILE, features_of, open_bench
from hil_tests.bench.errors import BenchError
from hil_tests.bench.features import FEATURES, lacking
from hil_tests.bench.image import image_for_bench
from hil_tests.bench.lock import locked
from hil_tests.bench.run import Bench, opened

_TARGET = pytest.StashKey[Target]()
_FOLDER = pytest.StashKey[Path]()
_FAILED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("bench")
    group.addoption("--bench", default="virtual", help="Which bench of the environment to use.")
    group.addoption("--bench-file", type=Path, default=FILE, help="The environment file.")
    group.addoption(
        "--dry-run", action="store_true", help="Check the bench and say what would run; no more."
    )
    group.addoption("--image", type=Path, help="The card image; else it is built and kept.")
    group.addoption("--report", type=Path, help="Where to keep results; else build/bench/NAME.")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*features): runs on benches with these features")
    config.addinivalue_line("markers", "smoke: part of the short run")
    config.addinivalue_line("markers", "mutation: breaks the node on purpose; asked for by name")
    config.addinivalue_line("markers", "dry: runs in a dry run, too")
    name = config.getoption("--bench")
    try:
        target = open_bench(name, config.getoption("--bench-file"))
    except BenchError as error:
        raise pytest.UsageError(str(error)) from error
    folder = (config.getoption("--report") or Path("build/bench") / name).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    config.stash[_TARGET], config.stash[_FOLDER] = target, folder
    config.option.xmlpath = config.option.xmlpath or str(folder / "junit.xml")
    config.option.htmlpath = config.option.htmlpath or str(folder / "report.html")
    config.option.self_contained_html = True


def pytest_report_header(config: pytest.Config) -> list[str]:
    target = config.stash[_TARGET]
    drivers = ", ".join(type(driver).__name__ for driver in target.drivers)
    return [
        f"bench: {target.name}; features: {', '.join(sorted(features_of(target)))}",
        f"drivers: {drivers}",
        f"report: {config.stash[_FOLDER]}",
    ]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    target = config.stash[_TARGET]
    has = features_of(target)
    if "mutation" not in config.option.markexpr:
        mutations = [item for item in items if item.get_closest_marker("mutation")]
        config.hook.pytest_deselected(items=mutations)
        items[:] = [item for item in items if item not in mutations]
    for item in items:
        wanted = {name for marker in item.iter_markers("needs") for name in marker.args}
        if unknown := wanted - FEATURES.keys():
            raise pytest.UsageError(f"{item.nodeid}: no such feature: {', '.join(unknown)}")
        if reason := lacking(target.name, wanted, has):
            item.add_marker(pytest.mark.skip(reason=reason))
        elif config.getoption("--dry-run") and item.get_closest_marker("dry") is None:
            item.add_marker(pytest.mark.skip(reason=f"dry run: would run on {target.name}"))


@pytest.fixture(scope="session")
def bench_target(request: pytest.FixtureRequest) -> Target:
    """Give the bench as the environment has it; nothing is switched on."""
    return request.config.stash[_TARGET]


@pytest.fixture(scope="session")
def bench(request: pytest.FixtureRequest, bench_target: Target) -> Iterator[Bench]:
    """Hold the bench for this run."""
    config = request.config
    folder = config.stash[_FOLDER]

    def image() -> Path:
        return image_for_bench(config.getoption("--image"), variant="bench")

    with locked(bench_target.name), opened(bench_target, image, folder / "run") as held:
        yield held
        (folder / "seconds.json").write_text(json.dumps(held.strategy.seconds, indent=1))


@pytest.fixture
def node(request: pytest.FixtureRequest, bench: Bench) -> Iterator[Bench]:
    """Give the bench with a node that is provisioned; keep what the test left behind."""
    log = bench.strategy.console.lines
    mark, lines = bench.traffic.count(), 0
    try:
        bench.strategy.transition("provisioned")
        lines = len(log())
        yield bench
    finally:
        failed = request.node.stash.get(_FAILED, True)
        folder = request.config.stash[_FOLDER] / _safe(request.node.name)
        folder.mkdir(parents=True, exist_ok=True)
        said = log()
        (folder / "console.log").write_text("\n".join(said[min(lines, len(said)) :]) + "\n")
        _keep_traffic(bench, mark, folder)
        if failed:
            _keep_journal(bench, folder)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_FAILED] = report.failed
    return report


def _keep_journal(bench: Bench, folder: Path) -> None:
    """Keep what the node's own journal says, as far as the node can be asked."""
    shell = bench.strategy.shell
    if shell.state is BindingState.active:
        with suppress(ExecutionError):
            said, _, _ = shell.run("journalctl --boot --no-pager --lines 500", timeout=120)
            (folder / "journal.log").write_text("\n".join(said) + "\n")


def _keep_traffic(bench: Bench, mark: int, folder: Path) -> None:
    lines = []
    for heard in bench.traffic.since(mark):
        if heard.kind == "frame":
            (folder / "frame.jpg").write_bytes(heard.payload)
            lines.append(f"{heard.mono:.3f} {heard.topic} ({len(heard.payload)} bytes)")
        else:
            lines.append(f"{heard.mono:.3f} {heard.topic} {heard.payload.decode()}")
    (folder / "traffic.log").write_text("\n".join(lines) + "\n")


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)
