"""Calls openssl(1), ssh-keygen(1) and sshd(8), which every image has.

The agent needs no library of cryptography for what is done once in its life.
"""

import subprocess

from node.enrol.errors import EnrolError

_SAID_CHARACTERS_MAX = 300


def run_program(*command: object) -> str:
    """Return what a program prints. Raises EnrolError with its own words when it fails."""
    try:
        done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise EnrolError(f"{command[0]} is missing; put it on the image") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip() or error.stdout.strip())[-_SAID_CHARACTERS_MAX:]
        raise EnrolError(f"{command[0]}: {said or f'exit status {error.returncode}'}") from error
    return done.stdout
