"""Renders hostapd.conf: an open network whose guests do not hear each other.

Keys: hostapd's own commented example, hostapd.conf of Debian's package hostapd 2.10.
"""

from node.settings import Hotspot

_INACTIVE_SECONDS = 300


def render_hostapd(hotspot: Hotspot) -> str:
    """Return the configuration; the name is written in hexadecimal, so that any character may."""
    wide = hotspot.band == "5GHz"
    lines = [
        f"interface={hotspot.interface}",
        "driver=nl80211",
        "ctrl_interface=/run/simpul-hostapd",
        # Left on, each association goes to syslog with the device's address.
        "logger_syslog=0",
        "logger_stdout=0",
        f"ssid2={hotspot.ssid.encode().hex()}",
        "utf8_ssid=1",
        f"country_code={hotspot.country}",
        "ieee80211d=1",
        f"hw_mode={'a' if wide else 'g'}",
        f"channel={hotspot.channel}",
        "ieee80211n=1",
        *(["ieee80211ac=1"] if wide else []),
        "wmm_enabled=1",
        "auth_algs=1",
        f"max_num_sta={hotspot.stations_max}",
        f"ap_isolate={int(hotspot.isolate_guests)}",
        # A phone that walked away makes room for another.
        f"ap_max_inactivity={_INACTIVE_SECONDS}",
        "disassoc_low_ack=1",
    ]
    return "\n".join(lines) + "\n"
