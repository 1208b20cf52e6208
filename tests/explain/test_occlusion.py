import numpy as np
import pytest

from fercore.explain.occlusion import occlusion_map


def network_that_uses(rows, columns):
    """Return a network: the brighter one part of the image, the more probable is class 1."""

    def network(images):
        share = images[:, rows, columns].mean(axis=(1, 2)) / 255
        return np.stack([1 - share, share], axis=1).astype(np.float32)

    return network


@pytest.mark.parametrize(
    ("rows", "columns"), [(slice(4, 14), slice(30, 42)), (slice(30, 42), slice(8, 18))]
)
def test_the_map_shows_the_part_that_a_network_uses(rows, columns):
    image = np.zeros((48, 48), np.uint8)
    image[rows, columns] = 255
    saliency = occlusion_map(network_that_uses(rows, columns), image, 1)
    assert saliency.shape == (48, 48)
    row, column = np.unravel_index(saliency.argmax(), saliency.shape)
    assert rows.start - 3 <= row < rows.stop + 3
    assert columns.start - 3 <= column < columns.stop + 3
    inside = saliency[rows, columns].mean()
    assert inside > 5 * np.abs(saliency).mean()
    # With two classes, support for one contradicts the other.
    assert occlusion_map(network_that_uses(rows, columns), image, 0) == pytest.approx(
        -saliency, abs=1e-7
    )


def test_the_map_of_a_uniform_image_is_zero():
    flat = np.full((48, 48), 90, np.uint8)
    assert np.abs(occlusion_map(network_that_uses(slice(0, 9), slice(0, 9)), flat, 1)).max() == 0


def test_images_need_not_be_square():
    saliency = occlusion_map(
        network_that_uses(slice(0, 5), slice(0, 5)), np.eye(30, 50, dtype="u1"), 0
    )
    assert saliency.shape == (30, 50)
