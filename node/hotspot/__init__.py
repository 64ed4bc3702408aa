"""The hotspot's room: asks the radio, and lets no address of a device out."""
