"""What can go wrong with the boot selection; each error is also the builtin that fits it."""


class SlotError(Exception):
    """Something about the boot selection is wrong; the message says what and where."""


class FatError(SlotError, ValueError):
    """The boot-select partition does not hold autoboot.txt in the form we may overwrite."""


class ChoiceError(SlotError, ValueError):
    """autoboot.txt says something that this program never writes."""


class RefusedError(SlotError, RuntimeError):
    """The step asked for could leave the node without a bootable slot."""
