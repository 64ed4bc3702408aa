"""A small network camera for the RTSP tests: GStreamer's own server (RFC 2326), H.264, loopback.

Debian's /usr/bin/python3 runs it, which has GStreamer's bindings; the tests' own Python has not.
Argument: the port. Standard input, one line each: user and password; empty ones let everybody in.
It prints `ready` once it listens, and ends when standard input is closed.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402 - the versions come first

_PIPELINE = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=15/1"
    " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15"
    " ! rtph264pay name=pay0 pt=96 config-interval=1 )"
)


def main(port: str) -> None:
    """Serve rtsp://127.0.0.1:PORT/street until standard input is closed."""
    user, password = (sys.stdin.readline().strip() for _ in range(2))
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(_PIPELINE)
    factory.set_shared(True)
    if user:
        _protect(server, factory, user, password)
    server.get_mount_points().add_factory("/street", factory)
    loop = GLib.MainLoop()
    GLib.io_add_watch(sys.stdin, GLib.PRIORITY_DEFAULT, GLib.IO_HUP, lambda *_: loop.quit())
    if server.attach(None) == 0:
        sys.exit(f"cannot listen on port {port}")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    loop.run()


def _protect(
    server: GstRtspServer.RTSPServer,
    factory: GstRtspServer.RTSPMediaFactory,
    user: str,
    password: str,
) -> None:
    """Ask for basic authentication (RFC 2617)."""
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("viewer", "media.factory.access", True)  # noqa: FBT003 - C
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)  # noqa: FBT003
    factory.set_permissions(permissions)


if __name__ == "__main__":
    main(sys.argv[1])
