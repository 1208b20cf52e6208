import numpy as np
import pytest
from scipy import ndimage

from fercore.config import AugmentationConfig

pytestmark = pytest.mark.keras

KATKAR = AugmentationConfig(rotation=30, shear=0.2, horizontal_flip=True)


@pytest.fixture
def faces():
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.uniform(0, 255, (16, 48, 48)), (0, 2, 2))
    return np.rint(smooth).astype(np.uint8)


def apply(faces, config, seed=0):
    from fercore.augment import Augment

    return np.asarray(Augment(config, seed)(faces[..., None].astype(np.float32)))[..., 0]


def test_nothing_switched_on_changes_nothing(faces):
    assert np.array_equal(apply(faces, AugmentationConfig()), faces)


def test_a_flip_mirrors_about_half_the_images_exactly(faces):
    changed = apply(faces, AugmentationConfig(horizontal_flip=True))
    same = (changed == faces).all(axis=(1, 2))
    mirrored = (changed == faces[:, :, ::-1]).all(axis=(1, 2))
    assert (same ^ mirrored).all()
    assert 2 <= mirrored.sum() <= 14


@pytest.mark.parametrize(
    ("config", "bound"),
    [
        (AugmentationConfig(width_shift=0.25), (12, 0)),
        (AugmentationConfig(height_shift=0.25), (0, 12)),
    ],
)
def test_shifts_stay_in_their_range_and_use_it(config, bound):
    from fercore.augment import Augment

    maps = np.asarray(Augment(config, 0).draw(4000, 48, 48))
    for column, limit in ((2, bound[0]), (5, bound[1])):
        assert np.abs(maps[:, column]).max() <= limit
        assert np.abs(maps[:, column]).max() >= 0.95 * limit
    assert np.allclose(maps[:, [0, 4]], 1)
    assert np.allclose(maps[:, [1, 3]], 0)


def test_rotations_are_rigid_and_turn_about_the_centre():
    from fercore.augment import Augment

    maps = np.asarray(Augment(AugmentationConfig(rotation=30), 0).draw(4000, 48, 48))
    linear = maps[:, [0, 1, 3, 4]].reshape(-1, 2, 2)
    assert np.allclose(linear @ linear.transpose(0, 2, 1), np.eye(2), atol=1e-5)
    angles = np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
    assert 29 < np.abs(angles).max() <= 30.001
    centre = np.full(2, 23.5)
    assert np.allclose(linear @ centre + maps[:, [2, 5]], centre, atol=1e-4)


def test_pixels_are_those_of_scipy_under_the_same_maps(faces):
    """The whole policy against an independent resampler."""
    from fercore.augment import Augment

    config = AugmentationConfig(
        rotation=25, shear=8, zoom=0.15, width_shift=0.1, height_shift=0.1, horizontal_flip=True
    )
    changed = apply(faces, config, seed=3)
    maps = np.asarray(Augment(config, 3).draw(16, 48, 48))
    for face, got, row in zip(faces, changed, maps, strict=True):
        a, b, t_x, c, d, t_y = row[:6].astype(float)
        # SciPy speaks of rows first.
        expected = ndimage.affine_transform(
            face.astype(float), [[d, c], [b, a]], [t_y, t_x], order=1, mode="nearest"
        )
        assert np.abs(got - expected).max() < 0.05


def test_the_composition_is_that_of_the_papers_generator():
    """Rotation, shear and zoom against the matrices of Keras's ImageDataGenerator."""
    from fercore.augment import Augment

    config = AugmentationConfig(rotation=30, shear=20)
    row = np.asarray(Augment(config, 5).draw(1, 48, 48))[0].astype(float)
    got = np.array([[row[4], row[3]], [row[1], row[0]]])  # rows first
    # `apply_affine_transform` multiplies, in rows-first coordinates, a rotation by t with a shear
    # by s: [[cos t, -sin t], [sin t, cos t]] @ [[1, -sin s], [0, cos s]]. Recover t and s.
    angle = np.arctan2(got[1, 0], got[0, 0])
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shear = rotation.T @ got
    assert shear[0, 0] == pytest.approx(1, abs=1e-5)
    assert shear[1, 0] == pytest.approx(0, abs=1e-5)
    lean = np.arcsin(-shear[0, 1])
    assert shear[1, 1] == pytest.approx(np.cos(lean), abs=1e-5)
    assert abs(np.degrees(angle)) <= 30
    assert abs(np.degrees(lean)) <= 20


def test_the_same_seed_gives_the_same_pixels_and_another_does_not(faces):
    assert np.array_equal(apply(faces, KATKAR, 1), apply(faces, KATKAR, 1))
    assert not np.array_equal(apply(faces, KATKAR, 1), apply(faces, KATKAR, 2))


def test_mixed_precision_does_not_touch_the_pixels(faces):
    from fercore.device import computing_in

    expected = apply(faces, KATKAR)
    with computing_in("mixed_bfloat16"):
        assert np.array_equal(apply(faces, KATKAR), expected)


def test_a_black_border_is_black_and_a_nearest_one_is_not():
    white = np.full((8, 48, 48), 255, np.uint8)
    shifted = {"width_shift": 0.5, "height_shift": 0.5}
    assert apply(white, AugmentationConfig(fill="constant", **shifted)).min() == 0
    assert apply(white, AugmentationConfig(fill="nearest", **shifted)).min() == 255


def test_whole_arrays_come_back_as_grey_levels(faces):
    from fercore.augment import augment_array

    seen = []
    changed = augment_array(faces, KATKAR, 0, lambda *at: seen.append(at), batch_size=10)
    assert changed.shape == faces.shape
    assert changed.dtype == np.uint8
    assert seen == [(10, 16), (16, 16)]
    assert np.array_equal(changed, augment_array(faces, KATKAR, 0, batch_size=10))
    assert (changed != faces).any(axis=(1, 2)).all()
