"""Builds card images, boots them in QEMU and packs updates."""
