"""Layers and flavours: ours resolve, and every invalid one is refused with a clear message."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.image.definition import read_layer
from provisioning.image.errors import DefinitionError
from provisioning.image.stack import resolve

ROOT = Path(__file__).parents[3]
IMAGES = ROOT / "images"
INVALID = sorted((Path(__file__).parent / "invalid").iterdir())
STACKS = [("debian", "node"), ("debian", "bench"), ("raspios", "node")]


@pytest.mark.parametrize("folder", INVALID, ids=lambda folder: folder.name)
def test_an_invalid_layer_is_refused_with_its_message(folder: Path) -> None:
    first = (folder / "layer.toml").read_text().splitlines()[0]
    with pytest.raises(DefinitionError) as caught:
        read_layer(folder)
    assert first.removeprefix("# expected: ") in str(caught.value)
    assert str(folder / "layer.toml") in str(caught.value)


@pytest.mark.parametrize(
    "folder", sorted((IMAGES / "layers").iterdir()), ids=lambda each: each.name
)
def test_our_layers_are_valid(folder: Path) -> None:
    assert read_layer(folder).name == folder.name


@pytest.mark.parametrize(("flavour", "variant"), STACKS)
def test_our_flavours_resolve(flavour: str, variant: str) -> None:
    stack = resolve(IMAGES, flavour, variant, {})
    names = [each.layer.name for each in stack.layers]
    assert names[0] == "base"
    assert names[-1] == "seal"
    assert ("bench" in names) == (variant == "bench")
    kernels = [
        package for each in stack.layers for package in each.packages if "linux-image" in package
    ]
    assert kernels == [{"debian": "linux-image-arm64", "raspios": "linux-image-rpi-v8"}[flavour]]


def test_a_given_value_takes_the_place_of_the_default() -> None:
    stack = resolve(IMAGES, "debian", "node", {"base.journal_mib": "32"})
    assert stack.layers[0].values["journal_mib"] == "32"


@pytest.mark.parametrize(
    ("given_values", "words"),
    [
        ({"base.jurnal_mib": "32"}, "no such variable"),
        ({"base.journal_mib": "lots"}, "does not match"),
        ({"base.timezone": "Asia/Jakarta; rm -rf /"}, "does not match"),
    ],
)
def test_a_wrong_value_is_refused(given_values: dict[str, str], words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        resolve(IMAGES, "debian", "node", given_values)


@pytest.mark.parametrize(
    ("flavour", "variant", "words"),
    [("debain", "node", "debian"), ("debian", "nod", "bench, node")],
)
def test_what_is_not_known_is_said_with_what_is(flavour: str, variant: str, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        resolve(IMAGES, flavour, variant, {})


def _flavour(folder: Path, layers: str) -> Path:
    text = (IMAGES / "debian.toml").read_text()
    head, _, tail = text.partition("[variants]")
    _, _, tail = tail.partition("[[sources]]")
    (folder / "debian.toml").write_text(f"{head}[variants]\nnode = {layers}\n[[sources]]{tail}")
    (folder / "layers").symlink_to(IMAGES / "layers")
    return folder


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ('["kernel", "base"]', "kernel requires base below it"),
        ('["base", "base"]', "base is named twice"),
        ('["base", "absent"]', "absent/layer.toml: cannot be read"),
    ],
)
def test_a_wrong_order_is_refused(tmp_path: Path, layers: str, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        resolve(_flavour(tmp_path, layers), "debian", "node", {})


@given(st.binary(max_size=300))
def test_no_bytes_of_a_layer_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, text: bytes
) -> None:
    folder = tmp_path_factory.mktemp("layer")
    (folder / "layer.toml").write_bytes(text)
    with pytest.raises(DefinitionError):
        read_layer(folder)
