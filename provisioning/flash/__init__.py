"""Writes card images onto cards: the right card, each its own node, verified, many at once."""
