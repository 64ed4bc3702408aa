"""Brings a flashed node into the fleet, from its first boot to the technician's checklist."""
