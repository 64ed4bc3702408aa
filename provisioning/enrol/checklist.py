"""Judges an enrolled node by what it says: the technician's list in two languages. No I/O."""

from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct

from node.messages import Health
from provisioning.fleet import NodeView, age_seconds

Verdict = Literal["good", "bad", "unseen", "unknown", "absent"]
"""unseen: every such node tells it, and this one has not yet; unknown: its board cannot tell;
absent: the settings leave it out."""
_NOT_GOOD: frozenset[Verdict] = frozenset({"bad", "unseen"})
_STILL_AGE_MAX_S = 60.0
_ROUND_TRIP_MAX_S = 1.0
_LOSS_RATIO_MAX = 0.05
_HOT_CELSIUS = 80.0  # where a Raspberry Pi begins to throttle


class Check(Struct, frozen=True, kw_only=True):
    """One line of the list; `advice_*` say what to do when it is not good."""

    key: str
    indonesian: str
    english: str
    verdict: Verdict
    value: str = ""
    advice_indonesian: str = ""
    advice_english: str = ""


def checklist(view: NodeView, *, now: datetime, view_confirmed: bool | None) -> list[Check]:
    """Return every check of a node; `view_confirmed` is what a person said of it, None nothing."""
    told = (
        _hotspot(view),
        _uplink(view.health),
        _power(view.health),
        _temperature(view.health),
        _clock(view.health),
    )
    return [
        _birth(view),
        _camera(view, now),
        _view(view, confirmed=view_confirmed),
        *map(_advised, told),
    ]


def all_good(checks: list[Check]) -> bool:
    """Tell whether the technician may leave: all that the node must tell was seen, and is well.

    Only what its board cannot tell, and what its settings leave out, may stay open.
    """
    return not any(needs_a_look(check) for check in checks) and checks[0].verdict == "good"


def needs_a_look(check: Check) -> bool:
    """Tell whether somebody has to do something about a line, or to wait for it."""
    return check.verdict in _NOT_GOOD


def _birth(view: NodeView) -> Check:
    online = view.state is not None and view.state.online
    return Check(
        key="online",
        indonesian="Tersambung ke pusat",
        english="Connected to the hub",
        verdict="good" if online else "bad",
        value=view.state.agent_version if view.state else "",
        advice_indonesian="periksa kabel jaringan dan alamat broker",
        advice_english="look at the network cable and the broker's address",
    )


def _camera(view: NodeView, now: datetime) -> Check:
    # A still whose clock was not set, or that is from the future, may be of any age.
    still_at = view.still_at if view.still_clock_synced else None
    age_s = None if still_at is None else age_seconds(still_at, now)
    verdict: Verdict = "good" if age_s is not None and age_s <= _STILL_AGE_MAX_S else "bad"
    if view.state and not view.state.camera:
        verdict = "absent"
    simulated = bool(view.camera and view.camera.simulated)
    age = "? s" if age_s is None else f"{age_s:.0f} s"
    return Check(
        key="camera",
        indonesian="Gambar kamera",
        english="Camera picture",
        verdict=verdict,
        value="" if view.still_at is None else age + _simulated(simulated),
        advice_indonesian="periksa kabel pita kamera dan mask.toml",
        advice_english="look at the camera's ribbon cable and mask.toml",
    )


def _view(view: NodeView, *, confirmed: bool | None) -> Check:
    verdict: Verdict = "unseen" if confirmed is None else "good" if confirmed else "bad"
    if view.state and not view.state.camera:
        verdict = "absent"
    return Check(
        key="view",
        indonesian="Arah kamera disetujui",
        english="View confirmed",
        verdict=verdict,
        advice_indonesian="lihat gambarnya, lalu arahkan kamera ke jalan",
        advice_english="look at the picture and turn the camera to the street",
    )


def _hotspot(view: NodeView) -> Check:
    wifi = view.wifi
    verdict: Verdict = "unseen" if wifi is None else "good" if wifi.up else "bad"
    if view.state and not view.state.hotspot:
        verdict = "absent"
    return Check(
        key="hotspot",
        indonesian="Wi-Fi memancar",
        english="Hotspot beaconing",
        verdict=verdict,
        value="" if wifi is None else wifi.interface + _simulated(wifi.simulated),
        advice_indonesian="periksa hostapd: systemctl status simpul-hotspot-hostapd",
        advice_english="look at hostapd: systemctl status simpul-hotspot-hostapd",
    )


def _uplink(health: Health | None) -> Check:
    round_trip_s = health.uplink_round_trip_seconds if health else None
    loss_ratio = (health.uplink_loss_ratio if health else None) or 0.0
    verdict: Verdict = "unseen"  # the kernel knows it once the broker has acknowledged anything
    value = ""
    if round_trip_s is not None:
        slow = round_trip_s > _ROUND_TRIP_MAX_S or loss_ratio > _LOSS_RATIO_MAX
        verdict = "bad" if slow else "good"
        value = f"{round_trip_s * 1000:.0f} ms, {loss_ratio:.1%}"
    return Check(
        key="uplink",
        indonesian="Mutu sambungan",
        english="Uplink quality",
        verdict=verdict,
        value=value,
        advice_indonesian="sambungan lambat atau putus-putus; periksa antena dan kabel",
        advice_english="slow or lossy; look at antenna and cable",
    )


def _power(health: Health | None) -> Check:
    low = health.under_voltage_now if health else None
    was_low = health.under_voltage_since_boot if health else None
    return Check(
        key="power",
        indonesian="Tegangan listrik",
        english="Power supply",
        verdict=_untold(health) if low is None else "bad" if low or was_low else "good",
        advice_indonesian="tegangan turun; pakai adaptor yang lebih kuat dan kabel pendek",
        advice_english="the voltage drops; use a stronger supply and a short cable",
    )


def _temperature(health: Health | None) -> Check:
    celsius = health.cpu_temperature_celsius if health else None
    verdict = _untold(health)
    if celsius is not None:
        verdict = "bad" if celsius >= _HOT_CELSIUS else "good"
    return Check(
        key="temperature",
        indonesian="Suhu",
        english="Temperature",
        verdict=verdict,
        value="" if celsius is None else f"{celsius:.0f} °C",
        advice_indonesian="terlalu panas; periksa kipas dan ventilasi kotak",
        advice_english="too hot; look at the fan and the box's vents",
    )


def _clock(health: Health | None) -> Check:
    synced = health.clock_synced if health else None
    return Check(
        key="clock",
        indonesian="Jam tepat",
        english="Clock set",
        # Every kernel tells (adjtimex(2)), whatever the board.
        verdict="unseen" if synced is None else "good" if synced else "bad",
        advice_indonesian="tunggu sinkronisasi waktu (NTP)",
        advice_english="wait for time synchronisation (NTP)",
    )


def _advised(check: Check) -> Check:
    """Return the line with the advice that fits a node which has said nothing of it."""
    if check.verdict != "unseen":
        return check
    return msgspec.structs.replace(
        check,
        advice_indonesian="simpul belum memberitahukannya; tunggu sebentar, lalu lihat simpul logs",
        advice_english="the node has not told it; wait a little, then look at simpul logs",
    )


def _untold(health: Health | None) -> Verdict:
    """Return what a figure is that only some boards can tell, when it is missing."""
    return "unseen" if health is None else "unknown"


def _simulated(simulated: bool) -> str:  # noqa: FBT001 - one private word
    return " (simulasi / simulated)" if simulated else ""
