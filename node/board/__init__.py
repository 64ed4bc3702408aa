"""The board's room: the lamp that a technician reads, the service button and the tamper switch."""
