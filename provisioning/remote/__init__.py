"""Helps a node from afar: shell, logs, snapshot, identify, reboot; each with the least it needs."""
