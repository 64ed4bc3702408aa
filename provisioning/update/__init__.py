"""Rolls releases out over a fleet, a few nodes first, and stops before a bad one spreads."""
