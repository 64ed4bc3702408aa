"""Empties the outbox into the broker, and carries commands the other way."""
