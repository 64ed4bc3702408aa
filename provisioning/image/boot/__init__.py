"""Boots a card image in QEMU as the Raspberry Pi's firmware would choose its slot."""
