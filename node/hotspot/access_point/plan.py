"""Works out the guests' network from the settings, and says what they contradict. Pure."""

import ipaddress
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from node.settings import Hotspot

_SSID_BYTES_MAX = 32  # IEEE 802.11-2020, section 9.4.2.2
# 20 MHz channels without radar detection, which the radios of a Pi lack.
_CHANNELS = {"2.4GHz": frozenset(range(1, 14)), "5GHz": frozenset({36, 40, 44, 48})}
_CHANNELS["5GHz"] |= {149, 153, 157, 161, 165}
_PREFIX_MIN, _PREFIX_MAX = 16, 29


def own_interface(hotspot: Hotspot) -> IPv4Interface:
    """Return the node's address among the guests, with its network. Raises ValueError."""
    return IPv4Interface(hotspot.address)


def lease_range(hotspot: Hotspot) -> tuple[IPv4Address, IPv4Address]:
    """Return the first and the last address that guests are given."""
    own = own_interface(hotspot)
    return own.ip + 1, own.network.broadcast_address - 1


def access_point_contradictions(hotspot: Hotspot) -> list[str]:
    """Say which keys of [hotspot] contradict each other; nothing when no access point is run."""
    if not hotspot.ssid:
        return []
    return [*_radio_contradictions(hotspot), *_network_contradictions(hotspot)]


def _radio_contradictions(hotspot: Hotspot) -> Iterator[str]:
    if (length := len(hotspot.ssid.encode())) > _SSID_BYTES_MAX:
        yield f"hotspot.ssid: {length} bytes in UTF-8; at most {_SSID_BYTES_MAX} fit, shorten it"
    if hotspot.channel not in _CHANNELS[hotspot.band]:
        good = ", ".join(map(str, sorted(_CHANNELS[hotspot.band])))
        yield f"hotspot.channel: {hotspot.channel} is no channel of {hotspot.band}; choose {good}"
    if hotspot.interface == hotspot.uplink_interface:
        yield (
            f"hotspot.uplink_interface: {hotspot.interface} is the access point itself; name the "
            "wired interface, as one radio cannot be both"
        )


def _network_contradictions(hotspot: Hotspot) -> Iterator[str]:
    try:
        own = own_interface(hotspot)
    except ValueError:
        yield f"hotspot.address: {hotspot.address} is no IPv4 address; write one as 10.80.0.1/22"
        return
    yield from _own_address_contradictions(own, hotspot)
    for network in hotspot.city_networks:
        try:
            IPv4Network(network)
        except ValueError as error:
            yield f"hotspot.city_networks: {error}; write a network as 192.168.0.0/16"
    for server in hotspot.dns_servers:
        try:
            ipaddress.ip_address(server)
        except ValueError:
            yield f"hotspot.dns_servers: {server} is no address; names cannot be asked for yet"


def _own_address_contradictions(own: IPv4Interface, hotspot: Hotspot) -> Iterator[str]:
    network = own.network
    where = f"hotspot.address: {hotspot.address}:"
    if not _PREFIX_MIN <= network.prefixlen <= _PREFIX_MAX:
        yield f"{where} choose a size from /{_PREFIX_MIN} to /{_PREFIX_MAX}"
        return
    if not network.is_private:
        yield f"{where} belongs to others; choose from 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16"
    if own.ip != network.network_address + 1:
        yield f"{where} is not the first of its network; write {network.network_address + 1}"
        return
    first, last = lease_range(hotspot)
    if (room := int(last) - int(first) + 1) < hotspot.stations_max:
        yield f"{where} has room for {room} guests, fewer than stations_max; choose a larger size"
