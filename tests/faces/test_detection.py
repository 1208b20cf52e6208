import threading

import cv2
import numpy as np
import pytest

from fercore.errors import UserError
from fercore.faces import cropping, detection, geometry
from fercore.faces.geometry import Face
from tests.photos import ASTRONAUT, astronaut, scene


@pytest.fixture(scope="module")
def haar():
    return detection.HaarDetector()


def centre(face):
    return face.left + face.side / 2, face.top + face.side / 2


def test_the_cascade_detects_the_face_of_a_portrait_and_nothing_else(haar):
    faces = haar.detect(astronaut())
    assert len(faces) == 1
    assert np.hypot(*np.subtract(centre(faces[0]), ASTRONAUT[:2])) < 15
    assert 80 < faces[0].side < 140
    assert faces[0].landmarks is None


def test_grey_and_colour_give_the_same_detections(haar):
    grey = cv2.cvtColor(astronaut(), cv2.COLOR_BGR2GRAY)
    assert haar.detect(grey)[0].box == haar.detect(astronaut())[0].box


def test_faces_outside_the_size_limits_are_not_returned(haar):
    assert haar.detect(astronaut(), smallest=200) == []
    assert haar.detect(astronaut(), largest=50) == []


def test_large_photos_are_reduced_and_faces_are_in_pixels_of_the_photo(haar):
    large = cv2.resize(astronaut(), None, fx=5, fy=5)
    faces = detection.detect_in_photo(haar, large, longest=512)
    assert len(faces) == 1
    assert np.hypot(*np.subtract(centre(faces[0]), np.multiply(ASTRONAUT[:2], 5))) < 75


def test_faces_are_sorted_row_by_row():
    """Two rows that sway, the second's faces larger."""
    rows = [[(10, 14), (80, 4), (150, 12)], [(5, 96), (100, 110)]]
    faces = [
        Face(float(left), float(top), 60.0 if number else 40.0)
        for number, row in enumerate(rows)
        for left, top in row
    ]
    shuffled = [faces[place] for place in (3, 1, 4, 0, 2)]
    assert geometry.sort_in_reading_order(shuffled) == faces
    assert geometry.sort_in_reading_order([]) == []


def test_the_face_with_the_highest_centre_sets_the_height_of_a_row():
    low, high = Face(100.0, 10.0, 40.0), Face(200.0, 22.0, 12.0)  # middles at 30 and 28
    below = Face(0.0, 29.0, 12.0)  # 35: more than 6 under the higher one
    assert geometry.sort_in_reading_order([low, high, below]) == [low, high, below]


def test_images_without_a_face_give_no_detections(haar):
    rng = np.random.default_rng(0)
    assert haar.detect(rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)) == []
    assert haar.detect(np.zeros((10, 10), np.uint8)) == []


@pytest.mark.parametrize(("angle", "side"), [(0.0, 100.0), (0.4, 60.0), (-0.7, 250.0)])
def test_landmarks_that_lie_as_in_training_give_the_square_they_lie_in(angle, side):
    turn = side * np.exp(1j * angle)
    points = 300 + 200j + turn * (geometry.REFERENCE @ [1, 1j] - (0.5 + 0.5j))
    face = geometry.face_from_landmarks(np.stack([points.real, points.imag], axis=1), 0.9)
    assert centre(face) == pytest.approx((300, 200), abs=1e-3)
    assert face.side == pytest.approx(side, rel=1e-5)
    assert face.angle == pytest.approx(angle, abs=1e-5)
    assert face.score == 0.9


def test_a_turned_face_is_cut_upright():
    rng = np.random.default_rng(1)
    upright = cv2.GaussianBlur(rng.integers(0, 256, (300, 300), dtype=np.uint8), (0, 0), 6)
    expected = cropping.crop_face(upright, Face(100, 100, 96), 48).astype(int)
    for degrees in (-30, 20):
        # OpenCV turns counter-clockwise, about the centre of a pixel.
        matrix = cv2.getRotationMatrix2D((147.5, 147.5), -degrees, 1)
        turned = cv2.warpAffine(upright, matrix, (300, 300))
        got = cropping.crop_face(turned, Face(100, 100, 96, float(np.radians(degrees))), 48)
        assert np.abs(got - expected).max() < 6


def test_an_image_that_is_a_face_is_cut_as_it_is():
    image = np.random.default_rng(2).integers(0, 256, (48, 48), dtype=np.uint8)
    assert np.array_equal(cropping.crop_face(image, geometry.full_image_face(image), 48), image)


def test_a_cut_averages_the_pixels_that_it_merges():
    image = np.random.default_rng(3).integers(0, 256, (192, 192), dtype=np.uint8)
    expected = cv2.resize(image, (48, 48), interpolation=cv2.INTER_AREA)
    got = cropping.crop_face(image, geometry.full_image_face(image), 48)
    assert np.abs(got.astype(int) - expected).max() <= 1


def test_a_face_at_the_edge_goes_on_with_the_last_pixels():
    image = np.full((100, 100), 50, np.uint8)
    image[:, :10] = 200
    got = cropping.crop_face(image, Face(-40, 20, 60), 48)
    assert set(np.unique(got[:, :30])) == {200}


def test_a_margin_shows_more():
    image = np.zeros((200, 200), np.uint8)
    image[60:140, 60:140] = 255
    assert cropping.crop_face(image, Face(60, 60, 80), 48)[1:-1, 1:-1].min() == 255
    wide = cropping.crop_face(image, Face(60, 60, 80), 48, margin=0.5)
    assert (wide > 127).mean() == pytest.approx(0.25, abs=0.03)


def test_faces_are_moved_with_their_landmarks():
    face = geometry.face_from_landmarks(geometry.REFERENCE * 50).transform(10, 20, 2)
    assert face.side == pytest.approx(100, rel=1e-5)
    assert face.landmarks[0] == pytest.approx(geometry.REFERENCE[0] * 100 + [10, 20], rel=1e-5)


def test_of_two_overlapping_detections_the_one_with_the_higher_score_stays():
    one, two, far = Face(0, 0, 50, score=1), Face(5, 5, 48, score=2), Face(200, 0, 30, score=0)
    assert detection._non_max_suppression([one, two, far]) == [two, far]


def test_overlap_is_intersection_over_union():
    assert geometry.iou(Face(0, 0, 10), Face(0, 0, 10)) == 1
    assert geometry.iou(Face(0, 0, 10), Face(5, 0, 10)) == pytest.approx(50 / 150)
    assert geometry.iou(Face(0, 0, 10), Face(20, 20, 10)) == 0


def test_a_detector_that_is_not_installed_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path))
    monkeypatch.delenv("FERCORE_YUNET", raising=False)
    assert detection.load_detector().kind == "haar"
    with pytest.raises(UserError, match=detection.YUNET_NAME):
        detection.load_detector("yunet")
    (tmp_path / detection.YUNET_NAME).write_bytes(b"no network")
    with pytest.raises(UserError, match="cannot be loaded as YuNet"):
        detection.load_detector()


class OneRow:
    """A stand-in for YuNet's network: it returns one row for every image."""

    def __init__(self, row):
        self.row, self.sizes, self.shapes = row, [], []

    def setInputSize(self, size):
        self.sizes.append(size)

    def detect(self, image):
        self.shapes.append(image.shape)
        return 1, None if self.row is None else np.array([self.row], np.float32)


def yunet_of(row):
    detector = object.__new__(detection.YuNetDetector)
    detector._lock, detector._network = threading.Lock(), OneRow(row)
    return detector


def test_yunets_rows_are_box_landmarks_and_score():
    marks = geometry.REFERENCE * 50 + [10, 20]
    detector = yunet_of([1, 2, 3, 4, *marks.ravel(), 0.8125])
    for shape in ((40, 60), (40, 60, 3)):
        (face,) = detector.detect(np.zeros(shape, np.uint8))
        assert (*centre(face), face.side) == pytest.approx((35, 45, 50), abs=1e-3)
        assert face.score == 0.8125
        assert face.landmarks == pytest.approx(marks, abs=1e-4)
    assert detector._network.sizes == [(60, 40)] * 2
    assert detector._network.shapes == [(40, 60, 3)] * 2
    image = np.zeros((40, 60), np.uint8)
    assert detector.detect(image, smallest=49.9, largest=50.1)
    assert not detector.detect(image, smallest=50.1)
    assert not detector.detect(image, largest=49.9)
    assert yunet_of(None).detect(image) == []


@pytest.mark.parametrize(
    ("shape", "square"), [((30, 50), (10, 0, 30)), ((50, 30, 3), (0, 10, 30)), ((7, 7), (0, 0, 7))]
)
def test_a_whole_image_is_its_largest_centred_square(shape, square):
    face = geometry.full_image_face(np.zeros(shape, np.uint8))
    assert (face.left, face.top, face.side) == square


class Shapes:
    """A detector that returns one face and records the size of the image."""

    kind = "haar"

    def detect(self, image, smallest=None, largest=None):
        self.shape = image.shape[:2]
        return [Face(10, 20, 30)]


@pytest.mark.parametrize(
    ("shape", "searched", "scale"),
    [((600, 200), (300, 100), 2), ((200, 1200), (50, 300), 4), ((300, 300), (300, 300), 1)],
)
def test_a_photo_is_reduced_to_the_longest_side(shape, searched, scale):
    detector = Shapes()
    (face,) = detection.detect_in_photo(detector, np.zeros(shape, np.uint8), longest=300)
    assert detector.shape == searched
    assert (face.left, face.top, face.side) == (10 * scale, 20 * scale, 30 * scale)


def test_a_box_is_the_square_in_whole_pixels():
    assert Face(1.6, -2.4, 10.7).box == (2, -2, 13, 9)


def test_faces_that_cover_one_another_by_less_are_two():
    """Intersections over unions of 0.43 and 0.39."""
    one = Face(0, 0, 100, score=2)
    assert detection._non_max_suppression([one, Face(40, 0, 100, score=1)]) == [one]
    assert len(detection._non_max_suppression([one, Face(44, 0, 100, score=1)])) == 2


def test_overlap_of_squares_that_are_apart_both_ways_is_nothing():
    assert geometry.iou(Face(0, 0, 10), Face(0, 15, 10)) == 0
    assert geometry.iou(Face(0, 0, 10), Face(4, 5, 8)) == pytest.approx(30 / (100 + 64 - 30))


@pytest.mark.skipif(detection.yunet_file() is None, reason="FERCORE_YUNET names no file of YuNet")
def test_yunet_measures_the_rotation_of_a_face():
    """It returns 17 of 20 degrees here; the smaller the face, the larger the error."""
    detector = detection.load_detector("yunet")
    straight = detector.detect(scene(320, 240, 2))
    assert len(straight) == 1
    matrix = cv2.getRotationMatrix2D((320, 240), -20, 1)
    turned = detector.detect(cv2.warpAffine(scene(320, 240, 2), matrix, (640, 480)))
    assert len(turned) == 1
    assert 12 < np.degrees(turned[0].angle - straight[0].angle) < 24
