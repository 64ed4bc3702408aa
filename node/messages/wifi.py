"""What a node says of its hotspot: counts, rates and pseudonyms, never a MAC address."""

from typing import Annotated

from msgspec import Meta, Struct

from node.messages.numbers import Dbm, Whole


class Station(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One associated device; a field is absent when the driver does not report it."""

    pseudonym: Annotated[
        str,
        Meta(
            pattern="^[0-9a-f]{12}$",
            description="Keyed hash of the address; the key lives one day, in memory only.",
        ),
    ]
    signal_dbm: Annotated[Dbm | None, Meta(description="Signal of the last frame.")] = None
    signal_average_dbm: Annotated[Dbm | None, Meta(description="Signal, driver's average.")] = None
    tx_rate_mbps: Annotated[
        float | None, Meta(description="Rate of the last frame sent to it.")
    ] = None
    rx_rate_mbps: Annotated[
        float | None, Meta(description="Rate of the last frame received from it.")
    ] = None
    tx_packets_count: Annotated[Whole | None, Meta(description="Packets sent to it.")] = None
    tx_retries_count: Annotated[Whole | None, Meta(description="Retries while sending to it.")] = (
        None
    )
    tx_failed_count: Annotated[Whole | None, Meta(description="Packets given up on.")] = None
    tx_bytes: Annotated[Whole | None, Meta(description="Bytes sent to it.")] = None
    rx_bytes: Annotated[Whole | None, Meta(description="Bytes received from it.")] = None
    connected_seconds: Annotated[Whole | None, Meta(description="Time since it associated.")] = None
    inactive_seconds: Annotated[float | None, Meta(description="Time since its last frame.")] = None


class Airtime(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Channel survey of the frequency in use; times grow since the interface came up."""

    frequency_mhz: Annotated[Whole, Meta(description="Centre frequency of the channel.")]
    noise_dbm: Annotated[Dbm | None, Meta(description="Noise floor.")] = None
    active_seconds: Annotated[float | None, Meta(description="Time the radio listened.")] = None
    busy_seconds: Annotated[float | None, Meta(description="Time the channel was busy.")] = None
    receive_seconds: Annotated[float | None, Meta(description="Time spent receiving.")] = None
    transmit_seconds: Annotated[float | None, Meta(description="Time spent transmitting.")] = None


class Wifi(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The hotspot at one moment."""

    interface: Annotated[str, Meta(description="Network interface of the access point.")]
    up: Annotated[
        bool, Meta(description="Whether the interface is an access point with a channel.")
    ]
    simulated: Annotated[bool, Meta(description="True when the radio is simulated.")] = False
    stations_count: Annotated[Whole, Meta(description="Associated devices.")] = 0
    stations: Annotated[tuple[Station, ...], Meta(description="The devices, by pseudonym.")] = ()
    airtime: Annotated[Airtime | None, Meta(description="Survey of the channel in use.")] = None
