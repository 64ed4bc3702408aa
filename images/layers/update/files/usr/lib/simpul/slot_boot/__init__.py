"""Decides which slot the Raspberry Pi's firmware boots; RAUC's custom bootloader backend."""
