"""Tells before the agent starts whether its camera would run; a part of `simpul-node check`."""

import stat
from importlib.util import find_spec
from pathlib import Path

from node.camera.source_name import is_stream
from node.errors import SettingsError
from node.settings import Camera, NodeSettings

_ALWAYS = ("numpy", "simplejpeg")
_PACKAGES = {"picamera2": ("picamera2", "libcamera"), "v4l2": ("av",), "video": ("av",)}
_REMEDY = {
    "av": "install simpul with its extra `video`",
    "picamera2": "apt install python3-picamera2, in a virtual environment that sees it",
    "libcamera": "apt install python3-libcamera, in a virtual environment that sees it",
}


def check_camera(settings: NodeSettings) -> None:
    """Return when the camera of `settings` would start here; the device itself is not opened.

    Raises SettingsError for a missing package or source, MaskError for the mask.
    """
    camera = settings.camera
    for package in (*_ALWAYS, *_PACKAGES.get(camera.adapter, ())):
        if find_spec(package) is None:
            remedy = _REMEDY.get(package, "install simpul with its extra `node`")
            raise SettingsError(
                f"camera.adapter: {camera.adapter} needs the package {package}; {remedy}"
            )
    if problem := _source_problem(camera):
        raise SettingsError(f"camera.source: {problem}")
    _check_mask(camera)


def _source_problem(camera: Camera) -> str:
    """Return what is wrong with the source of a video or a USB camera; empty if nothing."""
    if camera.adapter not in {"v4l2", "video"}:
        return ""
    if not camera.source:
        return f"missing, though camera.adapter is {camera.adapter}; name a device, file or rtsp://"
    return "" if is_stream(camera.source) else _file_problem(camera)


def _file_problem(camera: Camera) -> str:
    try:
        mode = Path(camera.source).stat().st_mode
    except (OSError, ValueError) as error:
        return f"{camera.source}: {getattr(error, 'strerror', error)}; check the path and the cable"
    if camera.adapter == "v4l2" and not stat.S_ISCHR(mode):
        return f"{camera.source} is no device; USB cameras are /dev/video0 and so on"
    if camera.adapter == "video" and not stat.S_ISREG(mode):
        return f"{camera.source} is no file"
    return ""


def _check_mask(camera: Camera) -> None:
    """Fit the mask to the frame and to the still, as the camera process does."""
    from node.camera.mask import fit_mask  # noqa: PLC0415 - needs numpy, which was looked for above
    from node.camera.mask_file import load_mask  # noqa: PLC0415 - as above
    from node.camera.still import still_size  # noqa: PLC0415 - as above

    mask = load_mask(Path(camera.mask_file))
    for width, height in ((camera.width, camera.height), still_size(camera)):
        fit_mask(mask, width=width, height=height)
