"""What a node says and hears: the one contract between nodes, hub and tools. No I/O."""

from node.messages.camera import Camera, StillInfo
from node.messages.commands import (
    COMMAND_BYTES_MAX,
    PROBLEM_LENGTH_MAX,
    Command,
    Identify,
    Replay,
    Reply,
    Snapshot,
    asked_id,
    decode_command,
    decode_reply,
    encode_command,
)
from node.messages.envelope import (
    PAYLOAD_BYTES_MAX,
    Envelope,
    MessageError,
    Seqs,
    SimpulError,
    decode_data,
    decode_envelope,
    encode,
)
from node.messages.events import (
    EVENTS,
    ButtonPressed,
    OutboxDamaged,
    SourceFailed,
    SourceRecovered,
    Tamper,
)
from node.messages.health import Health
from node.messages.kinds import KINDS
from node.messages.session_name import session_name
from node.messages.state import BootLedger, State
from node.messages.still import STILL_BYTES_MAX, read_still_info, write_still_info
from node.messages.topics import NODE_NAME_PATTERN, TOPIC_ROOT, parse_topic, topic_of
from node.messages.wifi import Airtime, Station, Wifi

__all__ = [
    "COMMAND_BYTES_MAX",
    "EVENTS",
    "KINDS",
    "NODE_NAME_PATTERN",
    "PAYLOAD_BYTES_MAX",
    "PROBLEM_LENGTH_MAX",
    "STILL_BYTES_MAX",
    "TOPIC_ROOT",
    "Airtime",
    "BootLedger",
    "ButtonPressed",
    "Camera",
    "Command",
    "Envelope",
    "Health",
    "Identify",
    "MessageError",
    "OutboxDamaged",
    "Replay",
    "Reply",
    "Seqs",
    "SimpulError",
    "Snapshot",
    "SourceFailed",
    "SourceRecovered",
    "State",
    "Station",
    "StillInfo",
    "Tamper",
    "Wifi",
    "asked_id",
    "decode_command",
    "decode_data",
    "decode_envelope",
    "decode_reply",
    "encode",
    "encode_command",
    "parse_topic",
    "read_still_info",
    "session_name",
    "topic_of",
    "write_still_info",
]
