"""A notice is of the closed list or refused, whatever the broker carries."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.install.errors import InstallError
from node.install.notice import (
    Notice,
    Report,
    decode_notice,
    decode_report,
    report_topic,
    words_of,
)

RELEASE = "ab" * 32
INSTALL = Notice(
    id="0" * 16, do="install", url="https://hub/a.bundle", release=RELEASE, soak_s=20.0
)


@given(st.binary(max_size=300))
def test_garbage_is_refused(payload: bytes) -> None:
    with pytest.raises(InstallError):
        decode_notice(payload)
    assert decode_report(report_topic("n0"), payload) is None


@given(
    st.fixed_dictionaries(
        {
            "id": st.text(max_size=20) | st.just("0" * 16),
            "do": st.sampled_from(["status", "install", "confirm", "rollback", "reboot"]),
            "url": st.text(max_size=30) | st.just("https://hub/a.bundle"),
            "release": st.text(max_size=70) | st.just(RELEASE),
            "soak_s": st.floats(allow_nan=False) | st.text(max_size=3),
        }
    )
)
def test_what_is_taken_becomes_no_option_and_no_shell(told: dict[str, object]) -> None:
    try:
        notice = decode_notice(msgspec.json.encode(told))
    except InstallError:
        return
    first, *options = words_of(notice)
    assert first in {"status", "confirm", "rollback"} or first.startswith(("http://", "https://"))
    assert all(option.startswith("--") or option in {"", RELEASE} for option in options)


def test_each_order_has_its_words() -> None:
    assert decode_notice(msgspec.json.encode(INSTALL)) == INSTALL
    wishes = ["--confirm-within=0", "--soak=20", "--json"]
    assert words_of(INSTALL) == ["https://hub/a.bundle", f"--expect={RELEASE}", *wishes]
    confirm = Notice(id="0" * 16, do="confirm", release=RELEASE)
    assert words_of(confirm) == ["confirm", RELEASE, "--json"]
    back = Notice(id="0" * 16, do="rollback", release=RELEASE)
    assert words_of(back) == ["rollback", "--confirm-within=0", f"--expect={RELEASE}", "--json"]


@pytest.mark.parametrize("change", [{"url": ""}, {"release": ""}])
def test_an_order_to_install_names_what_and_from_where(change: dict[str, str]) -> None:
    with pytest.raises(InstallError, match="names no release, or no URL"):
        decode_notice(msgspec.json.encode(msgspec.structs.replace(INSTALL, **change)))


def test_a_report_is_of_whose_topic_it_is() -> None:
    report = Report(id="0" * 16, said="{}")
    payload = msgspec.json.encode(report)
    assert decode_report("simpul/release/pasar-horas/report", payload) == ("pasar-horas", report)
    for topic in ("simpul/release/a/b/report", "simpul/release/a/notice", "simpul/1/a/report"):
        assert decode_report(topic, payload) is None
