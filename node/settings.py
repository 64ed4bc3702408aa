"""The only declaration of a node's configuration: /etc/simpul/node.toml as frozen models."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from node.messages import NODE_NAME_PATTERN

_Pin: TypeAlias = Annotated[int, Meta(ge=2, le=27)]  # 0 and 1 belong to a HAT's EEPROM


class Identity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[node]: who and where the node is."""

    name: Annotated[
        str,
        Meta(
            pattern=NODE_NAME_PATTERN,
            max_length=63,
            description="Name in the inventory: lower-case letters, digits and hyphens.",
        ),
    ]
    title: Annotated[
        str, Meta(max_length=80, description="Name of the place, as people read it on the page.")
    ] = ""
    site: Annotated[
        str, Meta(max_length=63, description="Site or junction; neighbours share it.")
    ] = ""
    state_directory: Annotated[
        str, Meta(pattern="^/", description="Where the outbox lives; must survive a reboot.")
    ] = "/var/lib/simpul"


class Uplink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[uplink]: the way to the broker."""

    brokers: Annotated[
        tuple[
            Annotated[
                str, Meta(pattern=r"^mqtts?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$")
            ],
            ...,
        ],
        Meta(
            min_length=1,
            description="Brokers, tried in turn: mqtts://host:port (TLS) or mqtt://host:port.",
        ),
    ]
    ca_file: Annotated[
        str, Meta(description="CA certificates (PEM) that the broker is checked against.")
    ] = ""
    certificate_file: Annotated[str, Meta(description="Certificate (PEM) of this node.")] = ""
    key_file: Annotated[
        str, Meta(description="Private key (PEM) of this node; no other user may read it.")
    ] = ""
    keepalive_seconds: Annotated[
        int, Meta(ge=5, le=600, description="Longest silence before the broker declares death.")
    ] = 30
    in_flight_max: Annotated[
        int, Meta(ge=1, le=1000, description="Messages under way without acknowledgement.")
    ] = 64
    acknowledge_timeout_seconds: Annotated[
        float, Meta(ge=1, le=600, description="Longest wait for an acknowledgement.")
    ] = 30.0
    backoff_min_seconds: Annotated[
        float, Meta(gt=0, le=60, description="First pause after a failed connection.")
    ] = 1.0
    backoff_max_seconds: Annotated[
        float, Meta(ge=1, le=3600, description="Longest pause after failed connections.")
    ] = 60.0


class Outbox(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[outbox]: the durable queue on the card."""

    bytes_max: Annotated[
        int, Meta(ge=262_144, le=2**40, description="Most bytes of messages kept on the card.")
    ] = 67_108_864
    age_max_hours: Annotated[
        float, Meta(gt=0, le=8760, description="Unsent measurements older than this are given up.")
    ] = 168.0
    replay_window_hours: Annotated[
        float, Meta(ge=0, le=8760, description="How long acknowledged messages stay, for a replay.")
    ] = 24.0
    commit_interval_seconds: Annotated[
        float,
        Meta(ge=0.05, le=60, description="Measurements are written in batches this far apart."),
    ] = 1.0
    pending_max: Annotated[
        int, Meta(ge=100, le=1_000_000, description="Most measurements held in memory unwritten.")
    ] = 10_000


class Camera(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[camera]: the sensor, its masks and the public still."""

    adapter: Annotated[
        Literal["none", "picamera2", "v4l2", "video", "rendered"],
        Meta(
            description="none; picamera2 (Raspberry Pi camera); v4l2 (USB camera); "
            "video (file or RTSP, replayed); rendered (a street scene drawn by the program)."
        ),
    ] = "none"
    source: Annotated[
        str, Meta(description="v4l2: device such as /dev/video0; video: file or rtsp:// address.")
    ] = ""
    width: Annotated[
        int, Meta(ge=64, le=4096, multiple_of=16, description="Width of a frame, in pixels.")
    ] = 1280
    height: Annotated[
        int, Meta(ge=64, le=4096, multiple_of=16, description="Height of a frame, in pixels.")
    ] = 720
    frames_per_second: Annotated[float, Meta(gt=0, le=60, description="Frames taken.")] = 5.0
    mask_file: Annotated[
        str, Meta(pattern="^/", description="Regions to blacken. Without a valid file, no picture.")
    ] = "/etc/simpul/mask.toml"
    still_interval_seconds: Annotated[
        float, Meta(ge=0.2, le=86_400, description="Time between public stills.")
    ] = 10.0
    still_width: Annotated[
        int,
        Meta(
            ge=64,
            le=1280,
            multiple_of=16,
            description="Width of the public still; small is private.",
        ),
    ] = 640
    still_quality: Annotated[
        int, Meta(ge=10, le=95, description="JPEG quality of the public still.")
    ] = 70
    stall_seconds: Annotated[
        float,
        Meta(ge=1, le=600, description="Age of the newest frame at which the camera is restarted."),
    ] = 10.0
    measure_interval_seconds: Annotated[
        float, Meta(ge=0.2, le=3600, description="Time between camera measurements.")
    ] = 10.0


class Hotspot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[hotspot]: the access point that is watched, and run here when it has an ssid."""

    adapter: Annotated[
        Literal["none", "nl80211", "simulated"],
        Meta(description="none; nl80211 (Linux kernel); simulated (invented stations, for demos)."),
    ] = "none"
    interface: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9._-]{1,15}$",
            description="Network interface of the access point: a name such as wlan0.",
        ),
    ] = "wlan0"
    measure_interval_seconds: Annotated[
        float, Meta(ge=0.02, le=3600, description="Time between hotspot measurements.")
    ] = 10.0
    ssid: Annotated[
        str,
        Meta(max_length=32, description="Name of the free network; empty: none is run here."),
    ] = ""
    country: Annotated[
        str,
        Meta(
            pattern="^[A-Z]{2}$",
            description="Country whose radio rules hold, two capital letters such as ID.",
        ),
    ] = "ID"
    band: Annotated[Literal["2.4GHz", "5GHz"], Meta(description="Band of the access point.")] = (
        "2.4GHz"
    )
    channel: Annotated[
        int, Meta(ge=1, le=177, description="Channel: 1 to 13, or on 5 GHz 36 to 48, 149 to 165.")
    ] = 6
    stations_max: Annotated[
        int, Meta(ge=1, le=2007, description="Most devices at once; Pi radios carry 7 to 19.")
    ] = 16
    address: Annotated[
        str,
        Meta(
            pattern=r"^[0-9.]{7,15}/[0-9]{1,2}$",
            description="The node's address among the guests, and the size of their network.",
        ),
    ] = "10.80.0.1/22"
    lease_minutes: Annotated[
        int, Meta(ge=2, le=1440, description="How long a guest's address is kept for it.")
    ] = 30
    dns_servers: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[0-9A-Fa-f.:]{2,45}$")], ...],
        Meta(max_length=8, description="Servers asked for names; none: those of the node itself."),
    ] = ()
    uplink_interface: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9._-]{1,15}$",
            description="Network interface towards the internet: a name such as eth0.",
        ),
    ] = "eth0"
    isolate_guests: Annotated[
        bool, Meta(description="Whether guests are kept from each other; false is for tests.")
    ] = True
    city_networks: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[0-9.]{7,15}/[0-9]{1,2}$")], ...],
        Meta(max_length=64, description="Networks that guests do not reach."),
    ] = ("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")


class Board(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[board]: lamp, service button and tamper switch on the header; each is optional."""

    adapter: Annotated[
        Literal["none", "gpiozero", "simulated"],
        Meta(description="none; gpiozero (the header's lines, by lgpio); simulated (in memory)."),
    ] = "none"
    chip: Annotated[
        int, Meta(ge=0, le=255, description="N of /dev/gpiochipN that holds the header's lines.")
    ] = 0
    lamp_pin: Annotated[
        _Pin | None, Meta(description="GPIO of the status lamp, 2 to 27, by Broadcom's numbers.")
    ] = None
    lamp_active_low: Annotated[
        bool, Meta(description="Whether the lamp is lit by a low level: wired to 3.3 V.")
    ] = False
    button_pin: Annotated[
        _Pin | None, Meta(description="GPIO of the service button, which closes to ground.")
    ] = None
    tamper_pin: Annotated[
        _Pin | None,
        Meta(description="GPIO of the tamper switch, closed to ground while the box is closed."),
    ] = None


class Health(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[health]: the machine itself."""

    measure_interval_seconds: Annotated[
        float, Meta(ge=0.02, le=3600, description="Time between health measurements.")
    ] = 30.0
    root_directory: Annotated[
        str, Meta(pattern="^/", description="Where /proc and /sys hang; another tree is for tests.")
    ] = "/"


class NodeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a node is told."""

    node: Identity
    uplink: Uplink
    outbox: Outbox = Outbox()
    camera: Camera = Camera()
    hotspot: Hotspot = Hotspot()
    board: Board = Board()
    health: Health = Health()

    @property
    def simulated(self) -> bool:
        """Tell whether the camera or the radio is not a real one."""
        replayed = self.camera.adapter == "video" and "://" not in self.camera.source
        return replayed or self.camera.adapter == "rendered" or self.hotspot.adapter == "simulated"
