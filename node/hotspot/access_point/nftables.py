"""Renders the firewall: guests reach DHCP, DNS and the internet, and nothing else of the node's.

One table of its own, replaced in one transaction; other tables stay as they are. nft(8).
"""

from node.hotspot.access_point.plan import own_interface
from node.settings import Hotspot

TABLE = "simpul_hotspot"

_RULES = """\
table inet {table}
delete table inet {table}
table inet {table} {{
    set city_networks {{
        type ipv4_addr
        flags interval
        auto-merge
{elements}    }}

    chain input {{
        type filter hook input priority filter; policy accept;
        iifname "{guests}" goto from_guests
    }}

    chain from_guests {{
        meta nfproto ipv6 drop
        ct state invalid drop
        udp sport 68 udp dport 67 accept
        ip saddr != {network} drop
        ct state established,related accept
        ip daddr {own} meta l4proto {{ tcp, udp }} th dport 53 accept
        ip daddr {own} icmp type echo-request limit rate 50/second accept
        reject with icmpx admin-prohibited
    }}

    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname "{guests}" goto guests_out
        oifname "{guests}" goto guests_in
    }}

    chain guests_out {{
        meta nfproto ipv6 drop
        ct state invalid drop
        ip saddr != {network} drop
        oifname "{guests}" {between}
        ip daddr @city_networks reject with icmpx admin-prohibited
        oifname "{uplink}" accept
        reject with icmpx admin-prohibited
    }}

    chain guests_in {{
        ct state established,related accept
        drop
    }}

    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {network} oifname "{uplink}" masquerade
    }}
}}
"""


def render_nftables(hotspot: Hotspot) -> str:
    """Return the ruleset; guests have IPv4 alone, so all of their IPv6 is dropped."""
    own = own_interface(hotspot)
    networks = ", ".join(hotspot.city_networks)
    return _RULES.format(
        table=TABLE,
        elements=f"        elements = {{ {networks} }}\n" if networks else "",
        guests=hotspot.interface,
        uplink=hotspot.uplink_interface,
        network=own.network,
        own=own.ip,
        between="drop" if hotspot.isolate_guests else "accept",
    )
