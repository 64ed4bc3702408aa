"""Tells every host its site, by the same code as the command `simpul`: they must never differ."""

from collections.abc import Sequence

from ansible.errors import AnsibleError
from ansible.inventory.group import Group
from ansible.inventory.host import Host
from ansible.plugins.vars import BaseVarsPlugin

from provisioning.inventory import InventoryError, site_of

DOCUMENTATION = """
name: site
short_description: the site of a node
description:
  - Gives every host the variable simpul_site, the innermost group below [nodes] that holds it.
  - It is empty for a host that stands at none.
"""


class VarsModule(BaseVarsPlugin):  # type: ignore[misc] # Ansible has no types
    """The plugin, as Ansible loads it."""

    def get_vars(
        self, loader: object, path: str, entities: Host | Group | Sequence[Host | Group]
    ) -> dict[str, str]:
        """Return the site of a host; nothing for a group. Raises AnsibleError for two sites."""
        super().get_vars(loader, path, entities)
        asked = entities if isinstance(entities, Sequence) else [entities]
        try:
            sites = [site_of(each) for each in asked if isinstance(each, Host)]
        except InventoryError as error:
            raise AnsibleError(str(error)) from error
        return {"simpul_site": sites[-1]} if sites else {}
