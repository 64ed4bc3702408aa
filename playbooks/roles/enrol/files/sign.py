"""Signs, on the controller, the request of a node that Ansible has brought over its connection.

The request comes by standard input, the papers go to standard output.
"""

import argparse
import sys
from pathlib import Path

import msgspec

from node.messages import SimpulError
from provisioning.authority.authority import Authority
from provisioning.authority.errors import AuthorityError
from provisioning.authority.passphrase import read_passphrase
from provisioning.enrol.enrol import Request, sign
from provisioning.inventory import Node
from provisioning.register import Register


def main() -> int:
    """Print the papers; return 0, or end with what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("node")
    for option in ("--directory", "--register", "--passphrase-file", "--published"):
        parser.add_argument(option, type=Path, required=True)
    options = parser.parse_args()
    node = Node(name=options.node)
    try:
        authority = Authority(options.directory, Register(options.register))
        _check_published(authority, options.published)
        signer = authority.unlock(read_passphrase(options.passphrase_file), "mqtt", "ssh-host")
        request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
        papers = sign(authority, signer, node, request, flashed=_waits(authority, node))
        # Whoever runs the playbook vouches for the connection; from here on the key is known.
        key = " ".join(request.ssh_host_key.split()[:2])
        if not request.token:  # the node that runs: a spare card that waits for it goes on waiting
            authority.register.record_host_key(node.name, key, "renewed")
        authority.register.record_host_key(node.name, key, "confirmed")
    except SimpulError as error:
        sys.exit(str(error))
    except msgspec.MsgspecError as error:
        sys.exit(f"{node.name}: answers what no node answers: {error}")
    sys.stdout.write(papers.decode())
    return 0


def _check_published(authority: Authority, folder: Path) -> None:
    """Raise AuthorityError unless the broker and stations are told to believe what signs now."""
    expected = {
        "mqtt-ca.pem": authority.bundle("mqtt"),
        "ssh-known-hosts": authority.known_hosts(),
    }
    for name, believed in expected.items():
        try:
            told = (folder / name).read_bytes()
        except OSError as error:
            raise AuthorityError(
                f"{folder / name}: {error.strerror}; run simpul authority publish"
            ) from error
        if told != believed:
            raise AuthorityError(
                f"{folder / name}: is older than the authority, so that nobody would believe what"
                " is signed now; run simpul authority publish, then playbooks/hub.yml"
            )


def _waits(authority: Authority, node: Node) -> bool:
    """Tell whether nothing runs by the node's name, and a card was flashed that shall.

    Such a card brings its token; without one it is somebody else, as a box that was stolen.
    """
    states = {*authority.register.host_keys(node.name).values()}
    return bool(states) and not states & {"confirmed", "renewed"}


if __name__ == "__main__":
    sys.exit(main())
