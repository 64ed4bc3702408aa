"""What a node says of itself; a field is absent where the board cannot tell."""

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from node.messages.numbers import Whole

_Celsius: TypeAlias = Annotated[float, Meta(ge=-273.15, le=1000)]
"""Between the absolute zero and where silicon melts."""


class Health(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Temperature, power, memory, storage, clock, uplink and outbox at one moment."""

    uptime_seconds: Annotated[float | None, Meta(description="Time since the machine started.")] = (
        None
    )
    load_1min: Annotated[float | None, Meta(description="Load average of one minute.")] = None
    cpu_temperature_celsius: Annotated[_Celsius | None, Meta(description="CPU temperature.")] = None
    under_voltage_now: Annotated[bool | None, Meta(description="Supply voltage is too low.")] = None
    under_voltage_since_boot: Annotated[
        bool | None, Meta(description="Supply voltage was too low at some time.")
    ] = None
    frequency_capped_now: Annotated[bool | None, Meta(description="ARM frequency is capped.")] = (
        None
    )
    frequency_capped_since_boot: Annotated[
        bool | None, Meta(description="ARM frequency was capped at some time.")
    ] = None
    throttled_now: Annotated[bool | None, Meta(description="The processor is throttled.")] = None
    throttled_since_boot: Annotated[
        bool | None, Meta(description="The processor was throttled at some time.")
    ] = None
    temperature_limited_now: Annotated[
        bool | None, Meta(description="The soft temperature limit is active.")
    ] = None
    temperature_limited_since_boot: Annotated[
        bool | None, Meta(description="The soft temperature limit was active at some time.")
    ] = None
    memory_total_bytes: Annotated[Whole | None, Meta(description="Memory of the machine.")] = None
    memory_available_bytes: Annotated[
        Whole | None, Meta(description="Memory that can be used without swapping.")
    ] = None
    storage_total_bytes: Annotated[
        Whole | None, Meta(description="Size of the file system that holds the state directory.")
    ] = None
    storage_free_bytes: Annotated[
        Whole | None, Meta(description="Free space there, for an unprivileged process.")
    ] = None
    storage_read_only: Annotated[
        bool | None, Meta(description="That file system is mounted read-only.")
    ] = None
    storage_written_bytes: Annotated[
        Whole | None, Meta(description="Bytes written to its disk since the machine started.")
    ] = None
    storage_life_used_percent: Annotated[
        Whole | None,
        Meta(
            description="Life used, as the card itself estimates (JEDEC e.MMC): upper end of its "
            "step of 10; 110 when past its life."
        ),
    ] = None
    storage_worn_out_soon: Annotated[
        bool | None,
        Meta(description="The card says 80 % of its reserve blocks are used (JEDEC e.MMC)."),
    ] = None
    clock_synced: Annotated[
        bool | None, Meta(description="A time source disciplines the clock.")
    ] = None
    clock_offset_seconds: Annotated[
        float | None,
        Meta(description="Offset the time daemon measured and the kernel still corrects."),
    ] = None
    uplink_round_trip_seconds: Annotated[
        float | None, Meta(description="Smoothed round trip to the broker (TCP_INFO).")
    ] = None
    uplink_loss_ratio: Annotated[
        float | None, Meta(description="Segments sent again per segment sent, this connection.")
    ] = None
    uplink_connects_count: Annotated[
        Whole | None, Meta(description="Connections made since the agent's start.")
    ] = None
    outbox_bytes: Annotated[Whole | None, Meta(description="Bytes that the outbox holds.")] = None
    outbox_unsent_count: Annotated[
        Whole | None, Meta(description="Messages the broker has not acknowledged yet.")
    ] = None
    outbox_sacrificed_count: Annotated[
        Whole | None, Meta(description="Messages given up for room, ever.")
    ] = None
    outbox_unrecorded_count: Annotated[
        Whole | None, Meta(description="Measurements dropped before they got a number.")
    ] = None
    outbox_volatile: Annotated[
        bool | None, Meta(description="The disk refuses; messages are held in memory only.")
    ] = None
    frames_replaced_count: Annotated[
        Whole | None, Meta(description="Stills that a newer one replaced before they were sent.")
    ] = None
    agent_memory_bytes: Annotated[
        Whole | None, Meta(description="Resident memory of the agent.")
    ] = None
