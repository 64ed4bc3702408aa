"""Birth and death of a node, retained at the broker, and what its outbox still holds."""

from typing import Annotated

from msgspec import Meta, Struct


class BootLedger(Struct, frozen=True, kw_only=True):
    """How far one run of the agent counted, so that the hub sees a hole at the very end too."""

    boot: Annotated[
        str, Meta(pattern="^[0-9a-f]{16}$", max_length=16, description="Which run of the agent.")
    ]
    last_seq: Annotated[
        int, Meta(ge=0, le=2**63 - 1, description="Highest sequence number that run committed.")
    ]


class State(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Birth (online) after every connect; death (offline) as last will or at a clean stop."""

    online: Annotated[bool, Meta(description="True in a birth, false in a death.")]
    title: Annotated[str, Meta(max_length=80, description="Name of the place, for people.")] = ""
    site: Annotated[str, Meta(max_length=63, description="Site or junction it stands at.")] = ""
    agent_version: Annotated[str, Meta(description="Version of the agent.")] = ""
    camera: Annotated[bool, Meta(description="Whether a camera is configured.")] = False
    hotspot: Annotated[bool, Meta(description="Whether a hotspot is configured.")] = False
    simulated: Annotated[
        bool, Meta(description="True when the camera or the radio is simulated or replayed.")
    ] = False
    ledgers: Annotated[
        tuple[BootLedger, ...],
        Meta(description="Runs whose measurements may still be asked for, oldest first."),
    ] = ()
