"""Holds every parser to what the kernel documents, and to its one error for anything else."""

import math
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node.errors import ReadingError
from node.health import parse
from node.health.parse import Figures
from node.messages import Health

PARSERS = [
    parse.parse_uptime,
    parse.parse_load,
    parse.parse_memory,
    parse.parse_agent_memory,
    parse.parse_temperature,
    parse.parse_firmware_power,
    parse.parse_kernel_power,
    parse.parse_voltage_alarm,
    parse.parse_disk_written,
    parse.parse_life_time,
    parse.parse_pre_eol,
]
WORDS = st.sampled_from(
    [
        *[
            "0x01",
            "0x0b",
            "0xff",
            "50005",
            "throttled=",
            "MemTotal:",
            "VmRSS:",
            "kB",
            "-274000",
            "1e999",
            "nan",
            "inf",
            "1_000",
            "0.20",
            "-0.5",
            "18446744073709551615",
        ],
        "\u0661\u0662",
        "9" * 25,
        "9" * 5000,
    ]
)
LIKELY = st.lists(st.one_of(WORDS, st.integers().map(str), st.floats().map(str)), max_size=18)
GARBAGE = st.one_of(
    st.text(),
    LIKELY.map(" ".join),
    LIKELY.map("\n".join),
    st.from_regex(r"MemTotal: +[0-9]+ kB\n", fullmatch=True),
    st.from_regex(r"VmRSS:\t +[0-9]+ kB\n", fullmatch=True),
    st.from_regex(r"throttled=0x[0-9a-f]{0,12}\n?", fullmatch=True),
)


@pytest.mark.parametrize("parser", PARSERS)
@given(text=GARBAGE)
@example(text="")
@example(text="\0" * 64)
@example(text="MemTotal: 9999999999999999999 kB")
@example(text=" ".join(["9" * 19] * 17))
def test_garbage_gives_figures_that_fit_or_the_stated_error(
    parser: Callable[[str], Figures], text: str
) -> None:
    try:
        figures = parser(text)
    except ReadingError as error:
        problem: str | None = str(error)
    else:
        problem = None
    if problem is not None:
        assert len(problem) < 150, "a log line, not the file"
        return
    assert set(figures) <= set(Health.__struct_fields__)
    health = msgspec.convert(figures, Health)
    assert msgspec.json.decode(msgspec.json.encode(health), type=Health) == health
    assert all(math.isfinite(value) for value in figures.values() if value is not None)


@pytest.mark.parametrize("parser", PARSERS)
def test_an_empty_file_is_an_error(parser: Callable[[str], Figures]) -> None:
    with pytest.raises(ReadingError):
        parser("")


@given(hundredths=st.integers(0, 10**12), idle=st.integers(0, 10**12))
def test_uptime_as_the_kernel_prints_it(hundredths: int, idle: int) -> None:
    text = f"{hundredths // 100}.{hundredths % 100:02} {idle // 100}.{idle % 100:02}\n"
    assert parse.parse_uptime(text) == {"uptime_seconds": pytest.approx(hundredths / 100)}


def test_load_is_the_one_minute_average() -> None:
    assert parse.parse_load("0.20 0.18 0.12 1/80 11206\n") == {"load_1min": 0.2}


@given(total=st.integers(0, 2**40), available=st.integers(0, 2**40))
def test_memory_comes_in_units_of_1024_bytes(total: int, available: int) -> None:
    text = f"MemTotal:  {total:>12} kB\nMemFree:   1 kB\nMemAvailable: {available:>9} kB\n"
    assert parse.parse_memory(text) == {
        "memory_total_bytes": total * 1024,
        "memory_available_bytes": available * 1024,
    }


def test_a_kernel_without_available_memory_still_says_the_total() -> None:
    assert parse.parse_memory("MemTotal: 8 kB\nMemFree: 1 kB\n") == {"memory_total_bytes": 8192}


@given(millidegrees=st.integers(-40_000, 125_000))
def test_temperature_is_in_thousandths(millidegrees: int) -> None:
    figures = parse.parse_temperature(f"{millidegrees}\n")
    assert figures == {"cpu_temperature_celsius": pytest.approx(millidegrees / 1000)}


def test_a_zone_without_a_reading_is_an_error() -> None:
    with pytest.raises(ReadingError, match="cannot be"):
        parse.parse_temperature("-274000\n")


BITS = ("under_voltage", "frequency_capped", "throttled", "temperature_limited")


@given(now=st.integers(0, 15), since=st.integers(0, 15))
def test_the_firmware_tells_now_from_since_boot(now: int, since: int) -> None:
    figures = parse.parse_firmware_power(f"throttled={now | since << 16:#x}\n")
    for at, name in enumerate(BITS):
        assert figures[f"{name}_now"] is bool(now & 1 << at)
        assert figures[f"{name}_since_boot"] is bool(since & 1 << at)
    assert len(figures) == 8


@given(now=st.integers(0, 15), lately=st.integers(0, 15))
def test_the_kernel_forgets_so_it_never_denies_what_was_since_boot(now: int, lately: int) -> None:
    figures = parse.parse_kernel_power(f"{now | lately << 16:x}\n")
    for at, name in enumerate(BITS):
        seen = bool((now | lately) & 1 << at)
        assert figures[f"{name}_now"] is bool(now & 1 << at)
        assert figures.get(f"{name}_since_boot") is (True if seen else None)


def test_the_voltage_alarm_speaks_of_now() -> None:
    assert parse.parse_voltage_alarm("0\n") == {"under_voltage_now": False}
    assert parse.parse_voltage_alarm("1\n")["under_voltage_now"] is True
    with pytest.raises(ReadingError):
        parse.parse_voltage_alarm("2\n")


@pytest.mark.parametrize("columns", [11, 15, 17])
@given(sectors=st.integers(0, 2**50))
def test_disk_counts_sectors_of_512_bytes_on_every_kernel(columns: int, sectors: int) -> None:
    words = [str(1000 + at) for at in range(columns)]
    words[6] = str(sectors)
    text = " ".join(f"{word:>8}" for word in words) + "\n"
    assert parse.parse_disk_written(text) == {"storage_written_bytes": sectors * 512}


@pytest.mark.parametrize(
    ("text", "percent"),
    [
        ("0x01 0x01\n", 10),
        ("0x02 0x0a\n", 100),
        ("0x0b 0x01\n", 110),
        ("0x00 0x03\n", 30),
        ("0x00 0x00\n", None),
    ],
)
def test_wear_is_the_worse_of_both_estimates(text: str, percent: int | None) -> None:
    assert parse.parse_life_time(text).get("storage_life_used_percent") == percent


@pytest.mark.parametrize("text", ["0x0c 0x01\n", "0x01\n", "1 1\n"])
def test_wear_outside_of_the_standard_is_an_error(text: str) -> None:
    with pytest.raises(ReadingError):
        parse.parse_life_time(text)


@pytest.mark.parametrize(
    ("text", "soon"), [("0x00\n", None), ("0x01\n", False), ("0x02\n", True), ("0x03\n", True)]
)
def test_the_card_warns_before_its_end(text: str, soon: bool | None) -> None:  # noqa: FBT001 - a table's column
    assert parse.parse_pre_eol(text).get("storage_worn_out_soon") is soon


def test_resident_memory_is_not_the_peak() -> None:
    text = "VmPeak:\t  90000 kB\nVmHWM:\t   50000 kB\nVmRSS:\t   36864 kB\nRssAnon:\t 1 kB\n"
    assert parse.parse_agent_memory(text) == {"agent_memory_bytes": 36864 * 1024}
