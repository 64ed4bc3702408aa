"""The agent on the pole: it measures camera, hotspot and board, and sends what it measured."""
