"""Finds the newest release for a machine in a folder of bundles, and names it by its hash."""

from pathlib import Path

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from node.install.bundle import read_bundle
from node.install.manifest import release_hash
from node.messages import SimpulError

DOCUMENTATION = """
name: release
short_description: newest release for a machine
description:
  - Looks at every bundle named PART-VERSION-COUNTER-PLATFORM-pyPYTHON.bundle in a folder.
  - Gives the file, the hash and the counter of the one with the highest counter.
options:
  _terms:
    description: Folders to look in.
    required: true
    type: list
    elements: path
  part:
    description: simpul (a node's agent) or simpul-hub.
    type: string
    default: simpul
  platform:
    description: Processor, as uname(1) calls it.
    type: string
    required: true
  python:
    description: Version of the machine's Python, such as 3.13.
    type: string
    required: true
"""


class LookupModule(LookupBase):  # type: ignore[misc] # Ansible has no types
    """The plugin, as Ansible loads it."""

    def run(
        self, terms: list[str], variables: dict[str, object] | None = None, **options: object
    ) -> list[dict[str, object]]:
        """Return one release for each folder. Raises AnsibleError when there is none."""
        self.set_options(var_options=variables, direct=options)
        part, platform, python = map(self.get_option, ("part", "platform", "python"))
        try:
            return [_newest(Path(term), part, platform, python) for term in terms]
        except SimpulError as error:
            raise AnsibleError(str(error)) from error


def _newest(folder: Path, part: str, platform: str, python: str) -> dict[str, object]:
    fitting = [
        bundle
        for file in sorted(folder.glob(f"{part}-[0-9]*-{platform}-py{python}.bundle"))
        if (bundle := read_bundle(file)).manifest.platform == platform
    ]
    if not fitting:
        build = "hub" if part == "simpul-hub" else "build"
        raise AnsibleError(
            f"{folder}: no release of {part} for {platform} and Python {python}; make and sign "
            f"one: simpul release {build} --target {platform}/{python} --output {folder}"
        )
    newest = max(fitting, key=lambda bundle: bundle.manifest.counter)
    return {
        "file": str(newest.file.absolute()),
        "hash": release_hash(newest.manifest_text),
        "counter": newest.manifest.counter,
        "version": newest.manifest.version,
    }
