"""Chooses the sensor that the settings name; there is no silent fallback to another one."""

from node import settings
from node.camera.sensor import Sensor
from node.errors import SettingsError


def open_sensor(camera: settings.Camera, node_name: str) -> Sensor:
    """Open the sensor of `camera.adapter`; its vendor's package is imported only now.

    Raises CameraError when it cannot be opened, SettingsError when there is none to open.
    """
    # Imported here on purpose: a node carries only the packages of the adapter that it uses.
    match camera.adapter:
        case "picamera2":
            from node.camera.picamera2_sensor import Picamera2Sensor  # noqa: PLC0415 - see above

            return Picamera2Sensor(camera)
        case "v4l2":
            from node.camera.v4l2_sensor import V4l2Sensor  # noqa: PLC0415 - see above

            return V4l2Sensor(camera)
        case "video":
            from node.camera.video_sensor import VideoSensor  # noqa: PLC0415 - see above

            return VideoSensor(camera)
        case "rendered":
            from node.camera.rendered_sensor import RenderedSensor  # noqa: PLC0415 - see above

            return RenderedSensor(camera, node_name)
        case "none":
            raise SettingsError("camera.adapter is none: this node has no camera to run")
