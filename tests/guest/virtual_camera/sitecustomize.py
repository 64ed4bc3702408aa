"""Brings the shims into every Python that has this folder on its path."""

import picamera2_shims

picamera2_shims.install()
