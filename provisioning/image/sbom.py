"""Lists what an image consists of, as SPDX: every Debian package and every Python package.

Format: SPDX 2.3 in JSON (https://spdx.github.io/spdx-spec/v2.3/). Nothing in it depends on when or
where it was made.
"""

import email.parser
import json
import re
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

_STATUS = "var/lib/dpkg/status"
_METADATA = re.compile(r"\.dist-info/METADATA\Z")


class Part(Struct, frozen=True, order=True):
    """One package in the image."""

    kind: str
    """`deb` or `pypi`."""
    name: str
    version: str
    source: str = ""
    source_version: str = ""
    architecture: str = ""

    @property
    def purl(self) -> str:
        """The package's address (purl specification)."""
        version = self.version.replace("+", "%2B").replace(":", "%3A")
        if self.kind == "pypi":
            return f"pkg:pypi/{self.name.lower().replace('_', '-')}@{version}"
        return f"pkg:deb/debian/{self.name}@{version}?arch={self.architecture}"


def parts_of(root_tar: Path) -> list[Part]:
    """Return what the root in `root_tar` consists of, sorted."""
    found: set[Part] = set()
    with tarfile.open(root_tar) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            is_python = name.startswith("opt/simpul/releases/") and _METADATA.search(name)
            if name != _STATUS and not is_python:
                continue
            file = tar.extractfile(member)
            if file is None:
                continue
            text = file.read().decode("utf-8", "replace")
            found |= {_python_part(text)} if is_python else set(debian_parts(text))
    return sorted(found)


def debian_parts(status: str) -> Iterator[Part]:
    """Yield the installed packages of dpkg's status file (deb822(5))."""
    for stanza in status.split("\n\n"):
        fields = dict(
            line.split(": ", 1)
            for line in stanza.splitlines()
            if not line.startswith(" ") and ": " in line
        )
        if fields.get("Status", "").endswith(" installed"):
            source, _, version = fields.get("Source", "").partition(" ")
            yield Part(
                kind="deb",
                name=fields["Package"],
                version=fields["Version"],
                source=source or fields["Package"],
                source_version=version.strip("()") or fields["Version"],
                architecture=fields["Architecture"],
            )


def spdx(parts: list[Part], name: str, image_id: str, epoch_seconds: int) -> str:
    """Return the document of the image `name` that consists of `parts`."""
    created = datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    packages = [
        {
            "SPDXID": _identifier(part),
            "name": part.name,
            "versionInfo": part.version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False,
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            **({"sourceInfo": f"{part.source} {part.source_version}"} if part.source else {}),
            "externalRefs": [
                {
                    "referenceCategory": "PACKAGE-MANAGER",
                    "referenceType": "purl",
                    "referenceLocator": part.purl,
                }
            ],
        }
        for part in parts
    ]
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"urn:simpul:image:{image_id}",
        "creationInfo": {"created": created, "creators": ["Tool: simpul"]},
        "packages": packages,
        "relationships": [
            {
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relationshipType": "DESCRIBES",
                "relatedSpdxElement": _identifier(part),
            }
            for part in parts
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def _python_part(text: str) -> Part:
    fields = email.parser.HeaderParser().parsestr(text)
    return Part(kind="pypi", name=fields["Name"] or "", version=fields["Version"] or "")


def _identifier(part: Part) -> str:
    return "SPDXRef-" + re.sub(
        r"[^A-Za-z0-9.-]", "-", f"{part.kind}-{part.name}-{part.architecture or 'any'}"
    )
