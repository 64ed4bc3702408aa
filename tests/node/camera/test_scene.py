"""The rendered street: the same for the same node, another for another, and never still."""

import numpy as np
import pytest

from node.camera.scene import Scene

SIZE = {"width": 320, "height": 180}


@pytest.fixture(scope="module")
def street() -> Scene:
    return Scene("taman-bunga", **SIZE)


def test_the_same_node_has_the_same_street(street: Scene) -> None:
    again = Scene("taman-bunga", **SIZE)
    assert (street.draw(12.5, 3).planes == again.draw(12.5, 3).planes).all()


def test_another_node_has_another_street(street: Scene) -> None:
    other = Scene("adam-malik", **SIZE)
    difference = np.abs(street.draw(0, 0).y.astype(int) - other.draw(0, 0).y)
    assert (difference > 20).mean() > 0.1


def test_something_moves_on_the_road_and_nothing_in_the_sky(street: Scene) -> None:
    before, after = (street.draw(seconds, 0).y.astype(int) for seconds in (10.0, 11.0))
    moved = np.abs(after - before) > 25
    assert moved[110:].mean() > 0.01
    assert not moved[:25].any()


def test_the_sensor_is_noisy(street: Scene) -> None:
    one, two = (street.draw(10.0, number).y.astype(int) for number in (1, 2))
    noise = (one - two)[:25]
    assert 1 < noise.std() < 6
    assert np.abs(noise).max() <= 14, "noise never wraps from black to white"


def test_it_gets_dark(street: Scene) -> None:
    light = [street.draw(seconds, 0).y.mean() for seconds in range(0, 1200, 100)]
    assert min(light) < 0.6 * max(light)
