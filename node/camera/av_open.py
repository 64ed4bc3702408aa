"""Opens and reads video through FFmpeg (PyAV), with its errors in words and no password in them."""

from collections.abc import Iterator, Mapping
from contextlib import suppress

import av
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError

from node.camera.source_name import is_stream, redacted
from node.errors import CameraError

_OPEN_SECONDS = 10.0
_READ_SECONDS = 10.0
_DAMAGED_PACKETS_MAX = 100


def open_input(
    source: str, *, format_name: str | None = None, options: Mapping[str, str] | None = None
) -> InputContainer:
    """Open `source` for reading: a file, an rtsp:// address, or a device with its `format_name`.

    Raises CameraError with the next step when it cannot be opened or has no video in it.
    """
    chosen = dict(options or {})
    if is_stream(source):
        chosen["rtsp_transport"] = "tcp"  # over UDP a lost packet smears the whole picture
    try:
        container = av.open(
            source, format=format_name, options=chosen, timeout=(_OPEN_SECONDS, _READ_SECONDS)
        )
    except (FFmpegError, OSError, ValueError) as error:
        raise failure(source, _reason(error)) from error
    if not container.streams.video:
        container.close()
        raise failure(source, "there is no video in it")
    container.streams.video[0].thread_type = "AUTO"
    return container


def packets(container: InputContainer, source: str) -> "Iterator[av.Packet[av.VideoStream]]":
    """Yield the packets of the video. Raises CameraError when the source stalls or breaks."""
    try:
        yield from container.demux(container.streams.video[0])
    except (FFmpegError, OSError) as error:
        raise failure(source, _reason(error)) from error


def decode(packet: "av.Packet[av.VideoStream]", source: str) -> list[av.VideoFrame]:
    """Return the frames that `packet` completes; a damaged packet gives none.

    Raises CameraError when the decoder itself fails.
    """
    try:
        return [frame for frame in packet.decode() if isinstance(frame, av.VideoFrame)]
    except InvalidDataError:
        return []
    except (FFmpegError, OSError) as error:
        raise failure(source, _reason(error)) from error


def decoded_frames(container: InputContainer, source: str) -> Iterator[av.VideoFrame]:
    """Yield the frames of the video to its end.

    Raises CameraError when the source stalls, or a hundred packets on end give no frame.
    """
    without_frame = 0
    for packet in packets(container, source):
        frames = decode(packet, source)
        without_frame = 0 if frames else without_frame + 1
        if without_frame > _DAMAGED_PACKETS_MAX:
            raise failure(source, f"{without_frame} packets in a row cannot be decoded")
        yield from frames


def close_input(container: InputContainer | None) -> None:
    """Close what is open; what cannot even be closed is gone anyway."""
    if container is not None:
        with suppress(FFmpegError, OSError):
            container.close()


def failure(source: str, reason: str) -> CameraError:
    """Return the error to raise about `source`."""
    step = "check address, cable and password" if is_stream(source) else "check camera.source"
    return CameraError(f"{redacted(source)}: {reason}; {step}")


def _reason(error: Exception) -> str:
    """Return what FFmpeg says without the address, which may hold a password."""
    if isinstance(error, FFmpegError | OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
