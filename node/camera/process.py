"""The camera process: opens the sensor and delivers its records to the agent by a pipe.

It is a process of its own because a camera driver can hang or leak: the agent kills it then and
starts it afresh. It ends by itself when the agent is gone, whichever way.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from node.camera.adapters import open_sensor
from node.camera.delivery import Watcher, deliver
from node.camera.mask import FrameMask
from node.camera.mask_file import load_mask
from node.camera.requests import Requests
from node.camera.still import still_maker
from node.errors import CameraError, MaskError, SettingsError
from node.settings import NodeSettings
from node.settings_file import load_settings

EXIT_CAMERA = 1
"""The camera failed; another try may work."""
EXIT_SETTINGS = 2
"""Settings or mask are wrong; a person must change them."""

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_PR_SET_PDEATHSIG = 1  # prctl(2), <linux/prctl.h>


def run_camera_process(settings_path: Path) -> int:
    """Be the camera process and return its exit code: 0, EXIT_CAMERA or EXIT_SETTINGS.

    Standard output carries records alone (see `pipe`), standard input requests; when that closes,
    the process ends.
    """
    _end_with_parent()
    requests = Requests()
    try:
        settings = load_settings(settings_path)
        with _private_output() as out:
            requests.listen(_STDIN)
            run_camera(settings, out, requests=requests)
    except BrokenPipeError:
        return 0  # the agent is gone
    except (MaskError, SettingsError) as error:
        return _say(error, EXIT_SETTINGS)
    except CameraError as error:
        return _say(error, EXIT_CAMERA)
    return 0


def run_camera(
    settings: NodeSettings,
    out: BinaryIO,
    *,
    requests: Requests | None = None,
    watchers: Sequence[Watcher] = (),
) -> None:
    """Take frames and write stills and figures to `out` until the requests say to close.

    The mask is read before the sensor is opened: without a valid one there is no picture.
    Raises MaskError, SettingsError, CameraError; BrokenPipeError when nobody reads any more.
    """
    camera = settings.camera
    mask = load_mask(Path(camera.mask_file))
    frame_mask = FrameMask(mask, width=camera.width, height=camera.height)
    make_still = still_maker(camera, mask)
    with closing(open_sensor(camera, settings.node.name)) as sensor:
        deliver(
            sensor,
            out,
            frame_mask=frame_mask,
            make_still=make_still,
            still_interval_seconds=camera.still_interval_seconds,
            requests=requests or Requests(),
            watchers=watchers,
        )


def _private_output() -> BinaryIO:
    """Return standard output for records alone, and send everything else there to stderr.

    libcamera and FFmpeg print to descriptor 1 as they please; one line would break the records.
    """
    private = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)
    return os.fdopen(private, "wb")


def _end_with_parent() -> None:
    """Ask the kernel to kill this process with its parent, and let Ctrl-C end it in silence."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _say(error: Exception, code: int) -> int:
    line = " ".join(str(error).split())
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
    return code
