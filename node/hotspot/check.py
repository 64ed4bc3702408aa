"""Checks, before the agent runs, that the radio named in the settings can be asked."""

from node.errors import RadioError, SettingsError
from node.settings import NodeSettings


def check_hotspot(settings: NodeSettings) -> None:
    """Ask the kernel for the interface, when the adapter is nl80211; others need nothing.

    Raises SettingsError when pyroute2 is missing, or the kernel has no such interface.
    """
    if settings.hotspot.adapter != "nl80211":
        return
    try:
        from node.hotspot.nl80211_radio import Nl80211Radio  # noqa: PLC0415 - chosen here
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"hotspot.adapter: nl80211 needs the Python package {error.name}; "
            "install simpul with its extra `node`"
        ) from error
    try:
        Nl80211Radio(settings.hotspot.interface).find()
    except RadioError as error:
        raise SettingsError(f"hotspot.interface: {error}") from error
