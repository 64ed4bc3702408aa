"""Carries what the broker delivers into the database and to the public directory."""

from hub.collector.collect import collect

__all__ = ["collect"]
