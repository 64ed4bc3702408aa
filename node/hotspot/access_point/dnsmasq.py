"""Renders dnsmasq.conf: addresses and names for the guests, and nothing written down about them.

Options: dnsmasq(8), version 2.90.
"""

from node.hotspot.access_point.plan import lease_range, own_interface
from node.settings import Hotspot

_CACHE_NAMES_MAX = 1000


def render_dnsmasq(hotspot: Hotspot) -> str:
    """Return the configuration."""
    own = own_interface(hotspot)
    first, last = lease_range(hotspot)
    lines = [
        f"interface={hotspot.interface}",
        "except-interface=lo",
        "bind-dynamic",  # the interface may come and go
        f"dhcp-range={first},{last},{own.netmask},{hotspot.lease_minutes}m",
        f"dhcp-option=option:router,{own.ip}",
        f"dhcp-option=option:dns-server,{own.ip}",
        f"dhcp-lease-max={int(last) - int(first) + 1}",
        "dhcp-authoritative",
        "no-ping",  # spares CAP_NET_RAW and half a second for each guest
        # Leases hold device addresses: in memory only, and none in the journal.
        "dhcp-leasefile=/run/simpul-dnsmasq/leases",
        "quiet-dhcp",
        "no-hosts",
        "domain-needed",
        "bogus-priv",
        "stop-dns-rebind",
        "filter-AAAA",  # guests have IPv4 alone
        f"cache-size={_CACHE_NAMES_MAX}",
        *(["no-resolv"] if hotspot.dns_servers else []),
        *(f"server={server}" for server in hotspot.dns_servers),
    ]
    return "\n".join(lines) + "\n"
