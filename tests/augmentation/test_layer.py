import numpy as np
import pytest
from scipy import ndimage

from fercore.config.augmentation import AugmentationConfig

pytestmark = pytest.mark.keras

KATKAR = AugmentationConfig(rotation=30, shear=0.2, horizontal_flip=True)


@pytest.fixture
def faces():
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.uniform(0, 255, (16, 48, 48)), (0, 2, 2))
    return np.rint(smooth).astype(np.uint8)


def apply(faces, config, seed=0):
    from fercore.augmentation.layer import Augment

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
    from fercore.augmentation.layer import Augment

    maps = np.asarray(Augment(config, 0).draw(4000, 48, 48))
    for column, limit in ((2, bound[0]), (5, bound[1])):
        assert np.abs(maps[:, column]).max() <= limit
        assert np.abs(maps[:, column]).max() >= 0.95 * limit
    assert np.allclose(maps[:, [0, 4]], 1)
    assert np.allclose(maps[:, [1, 3]], 0)


def test_rotations_are_rigid_and_turn_about_the_centre():
    from fercore.augmentation.layer import Augment

    maps = np.asarray(Augment(AugmentationConfig(rotation=30), 0).draw(4000, 48, 48))
    linear = maps[:, [0, 1, 3, 4]].reshape(-1, 2, 2)
    assert np.allclose(linear @ linear.transpose(0, 2, 1), np.eye(2), atol=1e-5)
    angles = np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
    assert 29 < np.abs(angles).max() <= 30.001
    centre = np.full(2, 23.5)
    assert np.allclose(linear @ centre + maps[:, [2, 5]], centre, atol=1e-4)


def test_pixels_are_those_of_scipy_under_the_same_maps(faces):
    """The whole policy against an independent resampler."""
    from fercore.augmentation.layer import Augment

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


@pytest.mark.parametrize(
    ("fill", "mode"),
    [("nearest", "nearest"), ("reflect", "reflect"), ("constant", "grid-constant")],
)
@pytest.mark.parametrize("shape", [(16, 48, 48), (3, 20, 31), (2, 1, 1)])
def test_every_border_is_that_of_scipy(fill, mode, shape):
    from fercore.augmentation.affine import resample

    mode = "grid-constant" if fill == "constant" else fill
    rng = np.random.default_rng(1)
    images = rng.uniform(0, 255, shape).astype(np.float32)
    linear = np.eye(2) + rng.normal(0, 0.5, (shape[0], 2, 2))
    shift = rng.normal(0, max(shape), (shape[0], 2))
    maps = np.concatenate([linear, shift[..., None]], axis=2).reshape(-1, 6).astype(np.float32)
    moved = np.asarray(resample(images[..., None], maps, fill))[..., 0]
    for image, got, row in zip(images, moved, maps, strict=True):
        a, b, t_x, c, d, t_y = row.astype(float)
        expected = ndimage.affine_transform(
            image.astype(float), [[d, c], [b, a]], [t_y, t_x], order=1, mode=mode
        )
        assert np.abs(got - expected).max() < 0.05


def test_the_composition_is_that_of_the_papers_generator():
    """Rotation, shear and zoom against the matrices of Keras's ImageDataGenerator."""
    from fercore.augmentation.layer import Augment

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
    from fercore.training.device import use_dtype_policy

    expected = apply(faces, KATKAR)
    with use_dtype_policy("mixed_bfloat16"):
        assert np.array_equal(apply(faces, KATKAR), expected)


def test_a_black_border_is_black_and_a_nearest_one_is_not():
    white = np.full((8, 48, 48), 255, np.uint8)
    shifted = {"width_shift": 0.5, "height_shift": 0.5}
    assert apply(white, AugmentationConfig(fill="constant", **shifted)).min() == 0
    assert apply(white, AugmentationConfig(fill="nearest", **shifted)).min() == 255


def test_whole_arrays_come_back_as_grey_levels(faces):
    from fercore.augmentation.layer import augment_array

    seen = []
    changed = augment_array(faces, KATKAR, 0, lambda *at: seen.append(at), batch_size=10)
    assert changed.shape == faces.shape
    assert changed.dtype == np.uint8
    assert seen == [(10, 16), (16, 16)]
    assert np.array_equal(changed, augment_array(faces, KATKAR, 0, batch_size=10))
    assert (changed != faces).any(axis=(1, 2)).all()


def test_a_crop_is_a_window_inside_the_image():
    from fercore.augmentation.layer import Augment

    maps = np.asarray(Augment(AugmentationConfig(crop=0.3), 0).draw(4000, 48, 48))
    scale = maps[:, 0]
    assert np.allclose(scale, maps[:, 4])
    assert 0.7 <= scale.min() < 0.71
    assert 0.99 < scale.max() <= 1
    # Where the first and the last column come from.
    first, last = maps[:, 2], maps[:, 2] + 47 * scale
    assert first.min() > -0.51
    assert last.max() < 47.51
    assert first.max() > 10


def test_brightness_and_contrast_do_what_they_say():
    grey = np.full((64, 48, 48), 120, np.uint8)
    grey[:, ::2] = 100
    brighter = apply(grey, AugmentationConfig(brightness=0.2))
    steps = brighter - grey
    assert np.allclose(steps, steps[:, :1, :1], atol=1e-3)
    assert 40 < np.abs(steps).max() <= 51
    contrast = apply(grey, AugmentationConfig(contrast=0.5))
    assert np.allclose(contrast.mean(axis=(1, 2)), 110, atol=1e-3)
    factor = (contrast[:, 1, 0] - contrast[:, 0, 0]) / 20
    assert 0.5 <= factor.min() < 0.6
    assert 1.4 < factor.max() <= 1.5


def test_blur_is_a_gaussian(faces, monkeypatch):
    from fercore.augmentation.layer import Augment

    augment = Augment(AugmentationConfig(blur=1.2), 0)
    monkeypatch.setattr(augment, "_fraction", lambda n: np.ones(n, np.float32))
    got = np.asarray(augment(faces[..., None].astype(np.float32)))[..., 0]
    expected = ndimage.gaussian_filter(
        faces.astype(float), (0, 1.2, 1.2), mode="reflect", radius=(0, 3, 3)
    )
    assert np.abs(got - expected).max() < 0.01


def test_noise_has_at_most_its_deviation():
    grey = np.full((200, 48, 48), 128, np.uint8)
    noise = apply(grey, AugmentationConfig(noise=0.1)) - 128
    deviations = noise.std(axis=(1, 2))
    assert deviations.max() < 1.05 * 25.5
    assert deviations.min() < 1
    assert np.abs(noise.mean(axis=(1, 2))).max() < 3


def test_erasing_hits_a_rectangle_of_its_share_of_the_images():
    grey = np.full((1000, 48, 48), 77, np.uint8)
    changed = apply(grey, AugmentationConfig(erasing=0.4)) != 77
    hit = changed.any(axis=(1, 2))
    assert 0.35 < hit.mean() < 0.45
    for mask in changed[hit][:50]:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        # But for noise that happens to have the old grey level.
        assert mask.sum() >= 0.97 * box
        assert 0.015 < box / 48**2 < 0.23


def test_grey_levels_stay_in_their_range(faces):
    everything = AugmentationConfig(brightness=1, contrast=1, noise=1, erasing=1, rotation=45)
    changed = apply(faces, everything)
    assert changed.min() >= 0
    assert changed.max() <= 255


def mixed(config, images, seed=0):
    from fercore.augmentation.mixup_cutmix import Mix

    outputs = Mix(config, seed)(images[..., None].astype(np.float32))
    blended, partner, share = (np.asarray(part) for part in outputs)
    return blended[..., 0], partner, share


def test_mixup_blends_two_images_in_the_share_of_their_labels(faces):
    blended, partner, share = mixed(AugmentationConfig(mixup=1.0), faces)
    assert sorted(partner) == list(range(16))
    own = share[:, None, None]
    assert np.allclose(blended, faces * own + faces[partner] * (1 - own), atol=1e-3)
    assert 0 <= share.min() < 0.3
    assert 0.7 < share.max() <= 1


def test_cutmix_pastes_a_rectangle_in_the_share_of_its_area():
    labels = np.arange(200, dtype=np.uint8)
    images = np.broadcast_to(labels[:, None, None], (200, 48, 48)).copy()
    blended, partner, share = mixed(AugmentationConfig(cutmix=1.0), images)
    other = partner != np.arange(200)
    own_pixels = (blended == images).mean(axis=(1, 2))
    assert np.allclose(own_pixels[other], share[other], atol=1e-6)
    assert np.isin(blended[other], images).all()
    pasted = blended[other][0] == images[partner[other][0]]
    rows, columns = np.flatnonzero(pasted.any(axis=1)), np.flatnonzero(pasted.any(axis=0))
    assert pasted.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


def test_with_both_each_image_takes_one(faces):
    many = np.repeat(faces, 20, axis=0)
    blended, partner, share = mixed(AugmentationConfig(mixup=1.0, cutmix=1.0), many)
    own = share[:, None, None]
    up = np.isclose(blended, many * own + many[partner] * (1 - own), atol=1e-3).all(axis=(1, 2))
    assert 0.35 < up.mean() < 0.65
    rest = ~up
    from_either = (blended[rest] == many[rest]) | (blended[rest] == many[partner[rest]])
    assert from_either.all()


def test_the_loss_of_mixed_images_is_that_of_both_labels(faces):
    import keras

    from fercore.training.model import TrainingModel
    from tests.tiny import tiny_config

    config = tiny_config(augmentation={"mixup": 1.0})
    flat = keras.Sequential(
        [keras.Input((48, 48, 1)), keras.layers.Flatten(), keras.layers.Dense(7)]
    )
    trainee = TrainingModel(flat, config, faces)
    positions = np.arange(16, dtype=np.int32)
    labels = (positions % 7).astype(np.int32)
    weights = np.linspace(0.5, 2, 16).astype(np.float32)
    logits = np.asarray(trainee(positions, training=True), np.float64)
    partner, share = (np.asarray(part) for part in trainee._mixing)
    log_p = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
    log_p -= logits.max(1, keepdims=True)
    each = -log_p[positions, labels] * weights
    other = -log_p[positions, labels[partner]] * weights[partner]
    expected = np.mean(share * each + (1 - share) * other)
    got = trainee.compute_loss(y=labels, y_pred=logits.astype(np.float32), sample_weight=weights)
    assert float(got) == pytest.approx(expected, rel=1e-5)
    # Judging mixes nothing.
    judged = trainee.compute_loss(
        y=labels, y_pred=logits.astype(np.float32), sample_weight=weights, training=False
    )
    assert float(judged) == pytest.approx(np.mean(each), rel=1e-5)


def test_an_epoch_is_the_same_for_every_network(faces):
    """What a page shows for a seed and an epoch is what any trainer feeds then."""
    from fercore import models
    from fercore.augmentation.layer import Augment
    from fercore.training.model import TrainingModel
    from tests.tiny import tiny_config

    seen = []
    for variant in ("model1", "model2"):
        config = tiny_config(augmentation=KATKAR.model_dump(), model_options={"variant": variant})
        network = models.build("katkar2021", (48, 48, 1), 7, {"variant": variant})
        trainee = TrainingModel(network, config, faces)
        trainee.reseed(3, 5)
        seen.append(np.asarray(trainee.augment(faces[..., None].astype(np.float32))))
    alone = Augment(KATKAR)
    alone.reseed(3, 5)
    assert np.array_equal(seen[0], seen[1])
    assert np.array_equal(seen[0], np.asarray(alone(faces[..., None].astype(np.float32))))


def test_alternating_flips_show_every_image_both_ways_in_two_epochs(faces):
    from fercore import models
    from fercore.training.model import TrainingModel
    from tests.tiny import tiny_config

    config = tiny_config(augmentation={"horizontal_flip": True, "alternating_flip": True})
    images = np.repeat(faces, 8, axis=0)
    network = models.build("katkar2021", (48, 48, 1), 7, {"variant": "model2"})
    trainee = TrainingModel(network, config, images)
    positions = np.arange(len(images), dtype=np.int32)[::-1].copy()
    expected = images[positions].astype(np.float32)

    def mirrored(epoch, seed=0):
        trainee.reseed(seed, epoch)
        pixels = np.asarray(trainee._bn_updater.augment_batch(positions)[0])[..., 0]
        flipped = (np.abs(pixels - expected[:, :, ::-1]) < 1e-3).all(axis=(1, 2))
        same = (np.abs(pixels - expected) < 1e-3).all(axis=(1, 2))
        assert (flipped ^ same).all()
        return flipped

    first = mirrored(1)
    assert 0.2 < first.mean() < 0.8
    np.testing.assert_array_equal(mirrored(2), ~first)
    np.testing.assert_array_equal(mirrored(3), first)
    assert (mirrored(1, seed=1) != first).any()
