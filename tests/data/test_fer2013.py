"""Test adding FER2013 from every edition, with small generated sets."""

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from fercore.data import registry
from fercore.data.datasets import fer2013
from fercore.data.splits import is_duplicate_of
from fercore.errors import UserError

NAMES = fer2013.CLASS_NAMES
USAGES = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}


def make_images(per_class=4):
    """Images by role: `(class, id, pixels)`."""
    rng = np.random.default_rng(0)
    made, number = {}, 1000
    for role in USAGES:
        made[role] = []
        for label in range(7):
            for _ in range(per_class):
                number += 7
                made[role].append((label, number, rng.integers(0, 255, (48, 48)).astype(np.uint8)))
    return made


IMAGES = make_images()


def png(pixels):
    return cv2.imencode(".png", pixels)[1].tobytes()


def files(anonymous=False, images=IMAGES):
    """The folder edition: content by name."""
    content = {}
    for role, rows in images.items():
        folder = "train" if role == "train" else "test"
        for label, number, pixels in rows:
            name = f"im{number}" if anonymous else f"{USAGES[role]}_{number}"
            content[f"{folder}/{NAMES[label]}/{name}.png"] = png(pixels)
    return content


def write_folder(path, content):
    for name, data_ in content.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data_)
    return path


def write_zip(path, content):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data_ in content.items():
            archive.writestr(name, data_)
    return path


def write_tar(path, content):
    with tarfile.open(path, "w:xz", preset=0) as archive:
        for name, data_ in reversed(content.items()):
            info = tarfile.TarInfo(f"fer2013/{name}")
            info.size = len(data_)
            archive.addfile(info, io.BytesIO(data_))
    return path


def table(spaced=False):
    header = "emotion, Usage, pixels" if spaced else "emotion,pixels,Usage"
    lines = [header]
    for role, rows in IMAGES.items():
        for label, _, pixels in rows:
            levels = " ".join(map(str, pixels.ravel()))
            cells = (label, USAGES[role], levels) if spaced else (label, levels, USAGES[role])
            lines.append(",".join(map(str, cells)))
    return "\n".join(lines) + "\n"


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


def install(root, *paths):
    return registry.add_dataset("fer2013", list(paths), root)


def test_a_folder_a_zip_and_a_tar_are_the_same_dataset(tmp_path, root):
    content = files()
    made = [
        write_folder(tmp_path / "faces", content),
        write_zip(tmp_path / "faces.zip", content),
        write_tar(tmp_path / "faces.tar.xz", content),
    ]
    fingerprints = {install(root / path.name, path).fingerprint for path in made}
    assert len(fingerprints) == 1
    splits = registry.load_dataset("fer2013", root / "faces.zip")
    assert [len(splits[role]) for role in splits] == [28, 28, 28]
    assert splits.title("test") == "PrivateTest"
    wanted = {f"PublicTest_{number}": (label, px) for label, number, px in IMAGES["validation"]}
    part = splits["validation"]
    for name, label, pixels in zip(part.ids, part.labels, part.images, strict=True):
        assert wanted[name][0] == label
        assert np.array_equal(wanted[name][1], pixels)


@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_tables_with_and_without_spaces_and_zip(tmp_path, root, spaced, zipped):
    path = tmp_path / ("icml_face_data.csv" if spaced else "fer2013.csv")
    path.write_text(table(spaced))
    if zipped:
        path = write_zip(tmp_path / "archive.zip", {f"deep/er/{path.name}": path.read_bytes()})
    install(root, path)
    splits = registry.load_dataset("fer2013", root)
    for role, rows in IMAGES.items():
        assert splits[role].labels.tolist() == [label for label, _, _ in rows]
        assert np.array_equal(splits[role].images, np.stack([pixels for _, _, pixels in rows]))
        assert splits[role].ids[0].startswith(USAGES[role])
    assert len(set(np.concatenate([splits[role].ids for role in splits]))) == 84


def test_two_archives_are_one_dataset_together_and_one_after_the_other(tmp_path, root):
    content = files()
    halves = [
        write_tar(tmp_path / f"{half}.tar.xz", {k: v for k, v in content.items() if half in k[:5]})
        for half in ("train", "test")
    ]
    together = install(root / "a", *halves)
    first = install(root / "b", halves[0])
    assert any("still missing: PublicTest, PrivateTest" in note for note in first.notes)
    with pytest.raises(UserError, match="lacks PublicTest and PrivateTest"):
        registry.load_dataset("fer2013", root / "b")
    assert not registry.dataset_status("fer2013", root / "b").installed
    second = install(root / "b", halves[1])
    assert second.fingerprint == together.fingerprint
    assert registry.dataset_status("fer2013", root / "b").installed


def test_adding_again_changes_nothing(tmp_path, root):
    path = write_zip(tmp_path / "faces.zip", files())
    assert install(root, path).changed
    before = {file: file.stat().st_mtime_ns for file in (root / "fer2013").iterdir()}
    again = install(root, path)
    assert not again.changed
    assert again.notes == ("already installed, unchanged",)
    assert {file: file.stat().st_mtime_ns for file in (root / "fer2013").iterdir()} == before


def test_another_edition_replaces_the_one_before(tmp_path, root):
    install(root, write_zip(tmp_path / "faces.zip", files()))
    other = {role: rows[:14] for role, rows in IMAGES.items()}
    report = install(root, write_zip(tmp_path / "other.zip", files(images=other)))
    assert "Training was replaced by the one in these files" in report.notes
    # One version before it is kept, and no more.
    assert len(list((root / "fer2013").glob("*.npz"))) == 2
    assert len(registry.load_dataset("fer2013", root)["train"]) == 14


def test_names_that_say_nothing_hold_out_a_validation_part(tmp_path, root):
    images = make_images(per_class=16)
    # A repeated image, which must not straddle the two parts.
    images["train"][1] = (0, images["train"][1][1], images["train"][0][2])
    report = install(root, write_zip(tmp_path / "a.zip", files(anonymous=True, images=images)))
    assert any("do not tell PublicTest from PrivateTest" in note for note in report.notes)
    splits = registry.load_dataset("fer2013", root)
    assert len(splits["test"]) == 2 * 7 * 16
    assert np.bincount(splits["validation"].labels).tolist() == [2] * 7
    assert len(splits["train"]) + len(splits["validation"]) == 7 * 16
    assert not is_duplicate_of(splits["validation"].images, splits["train"].images).any()
    again = install(root / "again", write_folder(tmp_path / "b", files(True, images)))
    assert again.fingerprint == report.fingerprint


def parts(path, content):
    """The folder edition in two archives: training, and the rest."""
    return [
        write_zip(
            path.with_name(f"{path.name}-{folder}.zip"),
            {name: data_ for name, data_ in content.items() if name.startswith(folder)},
        )
        for folder in ("train", "test")
    ]


def test_a_test_folder_that_may_hold_publictest_is_not_set_beside_it(tmp_path, root):
    """The same faces by other names, and as JPEG of other pixels: nothing else would tell."""
    good = install(root, write_zip(tmp_path / "named.zip", files()))
    _, test = parts(tmp_path / "anonymous", files(anonymous=True))
    with pytest.raises(UserError, match="Add all parts of one edition in one command"):
        install(root, test)
    assert registry.dataset_status("fer2013", root).fingerprint == good.fingerprint
    # The other way round: PublicTest, beside a test folder that holds it.
    install(root / "other", write_zip(tmp_path / "whole.zip", files(anonymous=True)))
    public = {name: px for name, px in files().items() if "PublicTest" in name}
    with pytest.raises(UserError, match="Add all parts of one edition in one command"):
        install(root / "other", write_zip(tmp_path / "public.zip", public))
    # With a PrivateTest of its own it stands beside what is known.
    both = {name: px for name, px in files().items() if name.startswith("test/")}
    install(root / "other", write_zip(tmp_path / "both.zip", both))
    splits = registry.load_dataset("fer2013", root / "other")
    assert not is_duplicate_of(splits["validation"].images, splits["test"].images).any()


def test_what_was_held_out_of_one_training_part_is_not_kept_beside_another(tmp_path, root):
    images = make_images(per_class=16)
    named, anonymous = files(images=images), files(anonymous=True, images=images)
    install(root, *parts(tmp_path / "anonymous", anonymous))
    training, _ = parts(tmp_path / "named", named)
    report = install(root, training)
    assert any("taken out of Training" in note for note in report.notes)
    splits = registry.load_dataset("fer2013", root)
    assert len(splits["train"]) + len(splits["validation"]) == 7 * 16
    assert not is_duplicate_of(splits["validation"].images, splits["train"].images).any()


def test_flaws_are_counted(tmp_path, root):
    images = {role: list(rows) for role, rows in IMAGES.items()}
    train, public, private = images["train"], images["validation"], images["test"]
    flat = np.full((48, 48), 7, np.uint8)
    train[4] = (train[4][0], train[4][1], train[0][2])  # repeats, with another label
    private[0] = (private[0][0], private[0][1], train[0][2])
    private[9] = (private[9][0], private[9][1], public[3][2])
    public[20] = (public[20][0], public[20][1], train[21][2])
    private[27] = (private[27][0], private[27][1], flat)
    audit = install(root, write_zip(tmp_path / "faces.zip", files(images=images))).audit
    assert audit.test_in_train == 1
    assert audit.test_in_either == 2
    assert audit.validation_in_train == 1
    assert audit.train_repeats == 1
    assert audit.constant == 1
    conflicting = (train[4][0] != train[0][0]) + (private[9][0] != public[3][0])
    conflicting += public[20][0] != train[21][0]
    assert audit.conflicting_groups == conflicting


def one_bad(name, content):
    return files() | {name: content}


BAD = {
    "no image": one_bad("train/happy/Training_1.png", b"not an image"),
    "half an image": one_bad("train/happy/Training_1.png", png(IMAGES["train"][0][2])[:400]),
    "another size": one_bad("train/happy/Training_1.png", png(np.zeros((50, 50), np.uint8))),
    "colour": one_bad(
        "train/happy/Training_1.png", png(np.dstack([IMAGES[r][0][2] for r in USAGES]))
    ),
    "unknown class": one_bad("train/bored/Training_1.png", png(IMAGES["train"][0][2])),
    "no split": one_bad("faces/happy/im1.png", png(IMAGES["train"][0][2])),
    "no folder": one_bad("Training_1.png", png(IMAGES["train"][0][2])),
    "twice": one_bad("train/angry/sub/angry/Training_1007.png", png(IMAGES["train"][0][2])),
    "nothing": {"readme.txt": b"hello"},
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_one_line_and_leaves_the_old_install(tmp_path, root, case):
    good = install(root, write_zip(tmp_path / "good.zip", files()))
    before = sorted((root / "fer2013").iterdir())
    with pytest.raises(UserError) as caught:
        install(root, write_zip(tmp_path / "bad.zip", BAD[case]))
    assert "\n" not in str(caught.value)
    assert sorted((root / "fer2013").iterdir()) == before
    assert registry.dataset_status("fer2013", root).fingerprint == good.fingerprint


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Training", "Trainings"),
        (",Training", " 300,Training"),
        ("\n0,", "\n9,"),
        ("\n0,", "\nx,"),
        ("\n0,", "\n0,1 2 3,Training\n0,"),
    ],
)
def test_a_bad_row_is_named(tmp_path, root, old, new):
    path = tmp_path / "fer2013.csv"
    path.write_text(table().replace(old, new, 1))
    with pytest.raises(UserError, match=r"fer2013\.csv, data row 0 "):
        install(root, path)
    assert not registry.dataset_status("fer2013", root).installed


@pytest.mark.parametrize("suffix", [".zip", ".tar.xz"])
def test_a_truncated_archive_is_refused(tmp_path, root, suffix):
    write = write_zip if suffix == ".zip" else write_tar
    path = write(tmp_path / f"faces{suffix}", files())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="cannot read"):
        install(root, path)


@pytest.mark.parametrize("name", ["absent.zip", "notes.txt"])
def test_what_is_no_dataset_is_refused(tmp_path, root, name):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UserError, match="expected a folder, or a file that ends in"):
        install(root, tmp_path / name)


def test_hidden_files_and_names_that_climb_are_passed_over(tmp_path, root):
    junk = {
        "__MACOSX/train/happy/._Training_1.png": b"junk",
        "train/happy/.hidden.png": b"junk",
        "../../train/happy/Training_99.png": b"junk",
        "Thumbs.db": b"junk",
    }
    plain = install(root / "a", write_zip(tmp_path / "plain.zip", files()))
    with_junk = install(root / "b", write_zip(tmp_path / "junk.zip", files() | junk))
    assert with_junk.fingerprint == plain.fingerprint
    folder = write_folder(tmp_path / "folder", files())
    (folder / "train" / "happy" / "Training_98.png").symlink_to(folder / "train")
    assert install(root / "c", folder).fingerprint == plain.fingerprint
    assert not list(tmp_path.parent.glob("train"))


def test_names_that_are_not_utf8_are_stored_written_out(tmp_path, root):
    odd = os.fsdecode(b"caf\xe9")
    names = {f"train/happy/{odd}.png": png(IMAGES["train"][0][2])}
    install(root, write_folder(tmp_path / odd, files() | names))
    assert registry.dataset_status("fer2013", root).installed
    assert "Training_happy_caf\\udce9" in registry.load_dataset("fer2013", root)["train"].ids


def test_a_full_disk_leaves_the_old_install(tmp_path, root, monkeypatch):
    good = install(root, write_zip(tmp_path / "good.zip", files()))
    other = write_zip(
        tmp_path / "other.zip", files(images={r: rows[:14] for r, rows in IMAGES.items()})
    )

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match="No space left on device"):
        install(root, other)
    monkeypatch.undo()
    assert registry.load_dataset("fer2013", root).fingerprint == good.fingerprint
    assert not list((root / "fer2013").glob(".*"))


@pytest.mark.parametrize("damage", ["truncate", "flip", "record", "remove"])
def test_a_damaged_install_says_to_add_again(tmp_path, root, damage):
    path = write_zip(tmp_path / "faces.zip", files())
    good = install(root, path)
    (stored,) = (root / "fer2013").glob("*.npz")
    content = bytearray(stored.read_bytes())
    if damage == "truncate":
        stored.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        content[len(content) // 2] ^= 255
        stored.write_bytes(content)
    elif damage == "record":
        (root / "fer2013" / "dataset.json").write_text(json.dumps({"format": 9}))
    else:
        stored.unlink()
    with pytest.raises(UserError, match="add the dataset again with: fercore data add fer2013"):
        registry.load_dataset("fer2013", root)
    registry.dataset_status("fer2013", root)
    assert install(root, path).fingerprint == good.fingerprint
    assert registry.load_dataset("fer2013", root).fingerprint == good.fingerprint


ARCHIVES = os.environ.get("FERCORE_FER2013_ARCHIVES")


@pytest.mark.skipif(not ARCHIVES, reason="FERCORE_FER2013_ARCHIVES names no folder of archives")
def test_the_real_thing(root):
    report = install(root, *sorted(Path(str(ARCHIVES)).glob("fer2013_*.tar.xz")))
    counts = {role: tuple(found.values()) for role, found in report.counts.items()}
    assert counts == fer2013.OFFICIAL
    audit = report.audit
    assert (audit.test_in_train, audit.validation_in_train, audit.test_in_either) == (288, 280, 314)
    assert (audit.train_repeats, audit.conflicting_groups, audit.constant) == (1236, 57, 12)
