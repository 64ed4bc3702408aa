"""Record the nl80211 fixtures: raw netlink replies of a simulated access point with four stations.

Run as root in a throw-away guest (it reshapes the machine's radios) whose kernel has
mac80211_hwsim, with debugfs mounted and hostapd, wpa_supplicant, iw, iperf3, ip and ping on PATH:

    python3 record_fixtures.py OUTPUT_DIRECTORY

Radio 0 is the access point; radios 1 to 4 are stations, each in a network namespace of its own.
Traffic runs in two phases. First a small lossy medium in this file carries every frame, so that
retries and failures are counted; then the kernel's own loss-free medium, which knows 802.11n
receive rates. Nothing in the recorded bytes is edited.
"""

import json
import multiprocessing
import os
import platform
import re
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

NETLINK_GENERIC = 16
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
GENL_CONTROLLER, GET_FAMILY, FAMILY_ID, FAMILY_NAME = 16, 3, 1, 2
GET_WIPHY, GET_INTERFACE, GET_STATION, GET_SURVEY = 1, 5, 17, 50
ATTR_WIPHY, ATTR_IFINDEX, ATTR_SPLIT_WIPHY_DUMP = 1, 3, 174

STATIONS = (1, 2, 3, 4)
SIGNAL_DBM = {0: -30, 1: -45, 2: -57, 3: -68, 4: -79}
# Of so many attempts towards a radio, the first few get lost: short holes cost retries, long ones
# cost frames.
HOLES = {0: (97, 1), 1: (60, 1), 2: (15, 2), 3: (250, 50), 4: (120, 45)}
VOICE = "0xe0"  # voice frames are not aggregated; aggregated ones carry no tx status in hwsim
AP_ADDRESS = "10.77.0.1"

HOSTAPD = """\
interface=wlan0
driver=nl80211
ssid=Simpul
country_code=ID
hw_mode=g
channel=6
ieee80211n=1
wmm_enabled=1
disassoc_low_ack=0
"""
SUPPLICANT = (
    'country=ID\nnetwork={{\n ssid="Simpul"\n key_mgmt=NONE\n disable_ht={disable_ht}\n}}\n'
)
MOVING = re.compile(
    r"^.*(inactive time|connected time|associated at|current time).*$", re.MULTILINE
)


def attribute(kind: int, payload: bytes = b"") -> bytes:
    """Pack one netlink attribute, padded to four bytes."""
    return struct.pack("=HH", 4 + len(payload), kind) + payload + b"\0" * (-len(payload) % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk the attributes of one level."""
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        yield kind, data[4:length]
        data = data[(length + 3) & ~3 :]


def message(family: int, flags: int, command: int, body: bytes = b"") -> bytes:
    """Build a generic netlink request."""
    head = struct.pack("=IHHII", 20 + len(body), family, flags | NLM_F_REQUEST, 1, 0)
    return head + struct.pack("=BBH", command, 1, 0) + body


def netlink() -> socket.socket:
    """Open a generic netlink socket."""
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
    opened.bind((0, 0))
    return opened


def ask(request: bytes) -> bytes:
    """Send one request and return every byte of the reply, up to and with its last message."""
    with netlink() as opened:
        opened.send(request)
        reply = b""
        while True:
            received = opened.recv(1 << 18)
            reply += received
            at = 0
            while at < len(received):
                length, kind, flags = struct.unpack_from("=IHH", received, at)
                if kind in {NLMSG_ERROR, NLMSG_DONE} or not flags & 0x2:
                    return reply
                at += (length + 3) & ~3


def family_id(name: str) -> int:
    """Ask the kernel which message type a generic netlink family has in this boot."""
    reply = ask(
        message(GENL_CONTROLLER, 0, GET_FAMILY, attribute(FAMILY_NAME, name.encode() + b"\0"))
    )
    found = dict(attributes(reply[20:]))[FAMILY_ID]
    return int.from_bytes(found, sys.byteorder)


def run(*command: str) -> str:
    """Run a command to its end and return what it said."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def start(*command: str) -> "subprocess.Popen[bytes]":
    """Start a command that stays."""
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def lossy_medium() -> None:
    """Carry every frame between the radios, losing attempts at a fixed pace, until terminated.

    Speaks the kernel's MAC80211_HWSIM family: the kernel hands over a frame and the rates it would
    try; we say which attempt got through, and deliver the frame to whoever hears it.
    """
    register, frame_command, tx_info_command = 1, 2, 3
    receiver, transmitter, frame_attr, flags_attr, rate, signal, tx_info, cookie = range(1, 9)
    no_ack, acked = 0x2, 0x4
    family = family_id("MAC80211_HWSIM")
    attempts: Counter[int] = Counter()
    with netlink() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        opened.send(message(family, 0, register))
        while True:
            data = opened.recv(1 << 16)
            kind, command = struct.unpack_from("=4xH10xB", data)
            if kind != family or command != frame_command:
                continue
            got = dict(attributes(data[20:]))
            source, frame, tried = got[transmitter][4], got[frame_attr], got[tx_info]
            to_group = bool(frame[4] & 1)
            flags = int.from_bytes(got[flags_attr], sys.byteorder)
            used, arrived = b"", to_group or bool(flags & no_ack)
            for index, count in struct.iter_unpack("=bB", tried):
                made = 0
                while index >= 0 and made < count and not arrived:
                    made += 1
                    every, lost = HOLES.get(frame[8], (1, 1))
                    arrived = attempts[frame[8]] % every >= lost
                    attempts[frame[8]] += 1
                used += struct.pack("=bB", index, made) if made else struct.pack("=bB", -1, 0)
            if to_group or flags & no_ack:
                used = tried
            elif arrived:
                flags |= acked
            level = struct.pack("=i", SIGNAL_DBM[source])
            status = attribute(transmitter, got[transmitter]) + attribute(cookie, got[cookie])
            status += attribute(flags_attr, struct.pack("=I", flags)) + attribute(signal, level)
            opened.send(message(family, 0, tx_info_command, status + attribute(tx_info, used)))
            for radio in SIGNAL_DBM:
                if radio == source or not arrived or not (to_group or frame[8] == radio):
                    continue
                body = attribute(receiver, bytes([0x42, 0, 0, 0, radio, 0]))
                body += attribute(frame_attr, frame) + attribute(rate, struct.pack("=I", 4))
                opened.send(message(family, 0, frame_command, body + attribute(signal, level)))


def set_signal(radio: int, dbm: int) -> None:
    """Say how loud others hear this radio on the kernel's own medium.

    Linux 6.1 refuses a minus sign here, so the value goes in as an unsigned 64-bit number.
    """
    path = Path(f"/sys/kernel/debug/ieee80211/phy{radio}/hwsim/rx_rssi")
    path.write_text(str(dbm % (1 << 64)))


def station_up(number: int) -> "subprocess.Popen[bytes]":
    """Move one radio into its namespace and join it to the access point."""
    space, radio = f"sta{number}", f"wlan{number}"
    inside = ("ip", "netns", "exec", space)
    run("ip", "netns", "add", space)
    run("iw", "phy", f"phy{number}", "set", "netns", "name", space)
    run(*inside, "ip", "link", "set", "lo", "up")
    run(*inside, "ip", "link", "set", radio, "up")
    run(*inside, "ip", "address", "add", f"10.77.0.1{number}/24", "dev", radio)
    run(*inside, "iw", "dev", radio, "set", "power_save", "off")
    run(*inside, "iw", "dev", radio, "set", "txpower", "fixed", "0")  # hwsim adds it to the signal
    config = Path(f"/tmp/{space}.conf")  # noqa: S108 - the guest is thrown away
    config.write_text(SUPPLICANT.format(disable_ht=int(number == STATIONS[-1])))
    return start(*inside, "wpa_supplicant", "-Dnl80211", "-i", radio, "-c", str(config))


def traffic_over_lossy_medium() -> None:
    """Let every station ping, and be sent to, while frames get lost."""
    medium = multiprocessing.Process(target=lossy_medium)
    medium.start()
    time.sleep(1)
    pings = [
        start("ip", "netns", "exec", f"sta{n}", "ping", "-q", "-i", "0.02", "-c", str(150 * n),
              "-s", str(200 * n), "-Q", VOICE, AP_ADDRESS)
        for n in STATIONS
    ]  # fmt: skip
    for ping in pings:
        ping.wait()
    medium.terminate()
    medium.join()


def traffic_over_plain_medium() -> None:
    """Send in both directions at full rate, so that the 802.11n rates settle."""
    for number in STATIONS:
        set_signal(number, SIGNAL_DBM[number])
        server = start("iperf3", "-s", "-1", "-B", AP_ADDRESS)
        time.sleep(1)
        client = ("ip", "netns", "exec", f"sta{number}", "iperf3", "-c", AP_ADDRESS, "-S", VOICE)
        run(*client, "-n", f"{number}M", *(["-R"] if number % 2 else []))
        server.wait()
        run("ping", "-q", "-Q", VOICE, "-c", "20", "-i", "0.05", f"10.77.0.1{number}")
        set_signal(number, SIGNAL_DBM[number] - 4)  # the last signal differs from the average
        run("ping", "-q", "-Q", VOICE, "-c", "2", "-i", "0.5", f"10.77.0.1{number}")


def main(output: Path) -> None:
    """Build the air, make traffic, record."""
    output.mkdir(parents=True, exist_ok=True)
    run("modprobe", "mac80211_hwsim", "radios=5")
    time.sleep(2)
    family = family_id("nl80211")
    index = socket.if_nametoindex("wlan0")
    here = attribute(ATTR_IFINDEX, struct.pack("=I", index))

    def dump(command: int, body: bytes = b"") -> bytes:
        return ask(message(family, NLM_F_DUMP, command, body))

    def record(name: str, reply: bytes, text: str | None = None) -> None:
        (output / f"{name}.bin").write_bytes(reply)
        if text is not None:
            (output / f"{name}.txt").write_text(text)

    nowhere = attribute(ATTR_IFINDEX, struct.pack("=I", 99))
    record("station_no_such_interface", dump(GET_STATION, nowhere))
    survey = ("iw", "dev", "wlan0", "survey", "dump")
    record("survey_none", dump(GET_SURVEY, here), run(*survey))
    run("ip", "link", "set", "wlan0", "up")
    run("iw", "dev", "wlan0", "scan")  # hwsim fills its survey while it scans, and only then

    config = Path("/tmp/hostapd.conf")  # noqa: S108 - the guest is thrown away
    config.write_text(HOSTAPD)
    staying = [start("hostapd", str(config))]
    time.sleep(4)
    run("ip", "address", "add", f"{AP_ADDRESS}/24", "dev", "wlan0")
    run("iw", "dev", "wlan0", "interface", "add", "uplink0", "type", "managed")
    stations = ("iw", "dev", "wlan0", "station", "dump")
    record("station_none", dump(GET_STATION, here), run(*stations))

    staying += [station_up(number) for number in STATIONS]
    deadline = time.monotonic() + 90
    while run(*stations).count("Station ") < len(STATIONS):
        if time.monotonic() > deadline:
            raise TimeoutError("the stations did not all join the access point")
        time.sleep(1)
    time.sleep(3)
    traffic_over_lossy_medium()
    traffic_over_plain_medium()

    while True:  # until no counter moved between the text before and the text after
        before, reply, after = run(*stations), dump(GET_STATION, here), run(*stations)
        if MOVING.sub("", before) == MOVING.sub("", after):
            break
        time.sleep(0.5)
    record("station_four", reply, before)
    record("survey", dump(GET_SURVEY, here), run(*survey))
    record("interface", dump(GET_INTERFACE), run("iw", "dev"))
    split = attribute(ATTR_WIPHY, struct.pack("=I", 0)) + attribute(ATTR_SPLIT_WIPHY_DUMP)
    record("wiphy", dump(GET_WIPHY, split))
    versions = {
        "kernel": f"{platform.release()} {platform.version()}",
        "machine": platform.machine(),
        "byte_order": sys.byteorder,
        "python": platform.python_version(),
        "iw": run("iw", "--version").strip(),
        "packages": run("dpkg-query", "-W", "hostapd", "wpasupplicant", "iw", "iproute2", "iperf3",
                        "wireless-regdb").split("\n")[:-1],
        "nl80211_family_id": family,
        "access_point_ifindex": index,
    }  # fmt: skip
    (output / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")
    for process in staying:
        process.terminate()


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("run this as root, in a guest that may be thrown away")
    main(Path(sys.argv[1]))
