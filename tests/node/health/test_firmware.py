"""Holds the talk with the firmware to its byte layout, and both adapters to one contract."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import ReadingError
from node.health.firmware import ask_firmware, ask_recording, parse_answer, request_of
from node.health.parse import parse_firmware_power


def answered(text: bytes, *, code: int = 0x8000_0000, error: int = 0) -> bytes:
    request = bytearray(request_of("get_throttled"))
    struct.pack_into("<I", request, 4, code)
    struct.pack_into("<I", request, 20, error)
    request[24:1048] = text.ljust(1024, b"\0")
    return bytes(request)


def test_the_request_is_the_message_of_263_words() -> None:
    words = struct.unpack("<263I", request_of("get_throttled"))
    assert words[:6] == (1052, 0, 0x00030080, 1024, 0, 0)
    assert words[262] == 0
    assert request_of("get_throttled")[24:38] == b"get_throttled\0"


def test_the_answer_stands_where_the_command_stood() -> None:
    assert parse_answer(answered(b"throttled=0x50005")) == "throttled=0x50005"


@pytest.mark.parametrize(("code", "error"), [(0, 0), (0x8000_0001, 0), (0x8000_0000, 1)])
def test_a_refusal_is_an_error(code: int, error: int) -> None:
    with pytest.raises(ReadingError, match="refused"):
        parse_answer(answered(b"throttled=0x0", code=code, error=error))


@given(message=st.one_of(st.binary(max_size=64), st.binary(max_size=1024).map(answered)))
def test_garbage_raises_the_stated_error_only(message: bytes) -> None:
    try:
        parse_firmware_power(parse_answer(message))
    except ReadingError:
        return


def test_an_unanswered_request_is_no_reading() -> None:
    with pytest.raises(ReadingError):
        parse_answer(request_of("get_throttled"))


BOTH = pytest.mark.parametrize("ask", [ask_firmware, ask_recording])


@BOTH
def test_a_machine_without_the_device_says_so(ask: Callable[[Path], str], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ask(tmp_path / "vcio")


@BOTH
def test_a_directory_in_its_place_is_an_os_error(
    ask: Callable[[Path], str], tmp_path: Path
) -> None:
    with pytest.raises(OSError, match=r"directory|ioctl"):
        ask(tmp_path)


def test_the_real_one_never_takes_a_plain_file_for_firmware(tmp_path: Path) -> None:
    device = tmp_path / "vcio"
    device.write_text("throttled=0x0\n")
    with pytest.raises(OSError, match="ioctl"):
        ask_firmware(device)


@pytest.mark.skipif(not Path("/dev/vcio").exists(), reason="needs a Raspberry Pi's kernel")
def test_the_real_firmware_answers() -> None:
    assert len(parse_firmware_power(ask_firmware(Path("/dev/vcio")))) == 8
