"""Finds ends of the tunnel that cannot all be reached: WireGuard gives an address to one peer.

Of two with the same the last one takes it, and the other is cut off without a word.
"""

import ipaddress
from collections.abc import Iterator, Mapping

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: tunnel_ends
short_description: see that every end of the tunnel has an address of its own
description:
  - Gives the same dictionaries, merged, or fails and says what is wrong.
options:
  _terms:
    description: Dictionaries of names and addresses, of the nodes, of the hub, of the operators.
    required: true
    type: list
    elements: dict
  network:
    description: The tunnel's own network.
    type: str
    required: true
"""
_MEND = "mend tunnel_address, tunnel_network or tunnel_operators"


class LookupModule(LookupBase):  # type: ignore[misc] # Ansible has no types
    """The plugin, as Ansible loads it."""

    def run(
        self,
        terms: list[Mapping[str, str]],
        variables: dict[str, object] | None = None,
        **options: object,
    ) -> list[dict[str, str]]:
        """Return all ends in one dictionary. Raises AnsibleError."""
        self.set_options(var_options=variables, direct=options)
        ends = [(name, str(address)) for term in terms for name, address in term.items()]
        if faults := list(_faults(ends, str(self.get_option("network")))):
            raise AnsibleError(f"{'; '.join(faults)}; {_MEND}")
        return [dict(ends)]


def _faults(ends: list[tuple[str, str]], network_text: str) -> Iterator[str]:
    try:
        network = ipaddress.ip_network(network_text)
    except ValueError as error:
        yield f"tunnel_network: {error}"
        return
    taken: dict[object, str] = {}
    names: set[str] = set()
    for name, text in ends:
        if name in names:
            yield f"{name} is the name of two ends of the tunnel"
        names.add(name)
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            yield f"{name}: {text!r} is no address"
            continue
        if address not in network:
            yield f"{name}: {text} lies outside the tunnel's network {network_text}"
        if other := taken.get(address):
            yield f"{name} and {other} have the same address in the tunnel, {text}"
        taken[address] = name
