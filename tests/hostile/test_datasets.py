"""Test adding datasets in the forms that users have, and the errors for unusable files."""

import tarfile
from pathlib import Path

import numpy as np
import pytest

from fercore.data import registry
from fercore.data import splits as splits_module
from fercore.data.datasets import ferplus
from fercore.data.splits import UNSPLIT, is_duplicate_of
from fercore.errors import UserError
from tests.hostile import datasets


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def add_table(path: Path, content: bytes, root: Path) -> splits_module.Splits:
    path.write_bytes(content)
    registry.add_dataset("fer2013", [path], root)
    return registry.load_dataset("fer2013", root)


def quoted(separator: str, around: str = "{}"):
    return lambda levels: '"' + around.format(separator.join(map(str, levels.tolist()))) + '"'


TABLES = {
    "utf-16": datasets.table().encode("utf-16"),
    "utf-16 without a mark": datasets.table().encode("utf-16-le"),
    "utf-16 big-endian": b"\xfe\xff" + datasets.table().encode("utf-16-be"),
    "utf-32": datasets.table().encode("utf-32"),
    "utf-8 with a mark": datasets.table().encode("utf-8-sig"),
    "float labels": datasets.table(lambda k: f"{k}.0").encode(),
    "names as labels": datasets.table(lambda k: f'"{datasets.CLASSES[k].title()}"').encode(),
    "synonyms as labels": datasets.table(
        lambda k: {3: "happiness", 4: "Sadness", 0: "anger"}.get(k, datasets.CLASSES[k])
    ).encode(),
    "commas": datasets.table(pixels=quoted(",")).encode(),
    "commas and spaces": datasets.table(pixels=quoted(", ")).encode(),
    "a list": datasets.table(pixels=quoted(", ", "[{}]")).encode(),
    "semicolons": datasets.table(delimiter=";").encode(),
    "tabs": datasets.table(delimiter="\t").encode(),
    "float pixels": datasets.table(
        pixels=lambda levels: " ".join(f"{level}.0" for level in levels)
    ).encode(),
    "other column names": datasets.table(header="Label,pixel,split").encode(),
    "other usages": datasets.table().replace("PublicTest", "Validation").encode(),
    "a column for each pixel": datasets.table_of_pixel_columns().encode(),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_is_read_however_it_is_written(tmp_path: Path, root: Path, kind: str):
    plain = add_table(tmp_path / "plain.csv", datasets.table().encode(), root / "plain")
    found = add_table(tmp_path / "fer2013.csv", TABLES[kind], root / "other")
    assert found.fingerprint == plain.fingerprint
    zipped = datasets.write_zip(tmp_path / "zipped.zip", {"fer2013.csv": TABLES[kind]})
    report = registry.add_dataset("fer2013", [zipped], root / "zipped")
    assert report.fingerprint == plain.fingerprint


@pytest.mark.parametrize("label", ["2.5", "7", "-1", "nan", "smug", "", "1e400"])
def test_a_label_that_means_no_class_is_refused(tmp_path: Path, root: Path, label: str):
    content = datasets.table(lambda k: label if k == 3 else str(k))
    with pytest.raises(UserError, match=r"6 of 42 images cannot be used: .*data row 6 .*emotion"):
        add_table(tmp_path / "fer2013.csv", content.encode(), root)


def test_bad_rows_are_all_named_and_can_be_left_out(tmp_path: Path, root: Path):
    path = tmp_path / "fer2013.csv"
    path.write_text(datasets.table(lambda k: "9" if k == 3 else str(k)))
    with pytest.raises(UserError) as raised:
        registry.add_dataset("fer2013", [path], root)
    for row in (6, 7, 20, 21, 34, 35):
        assert f"data row {row} " in str(raised.value)
    assert str(raised.value).endswith("leave them out with --skip-bad")
    report = registry.add_dataset("fer2013", [path], root, skip_bad=True)
    assert report.notes[0].startswith("left out: 6 of 42 images cannot be used")
    assert sum(report.counts["train"].values()) == 12


def ferplus_root(tmp_path: Path, root: Path) -> Path:
    add_table(tmp_path / "fer2013.csv", datasets.table().encode(), root)
    return root


#                 neutral happy surprise sad angry disgust fear contempt unknown NF
FERPLUS_VOTES = {
    ("contempt", (0, 0, 0, 0, 0, 0, 0, 10, 0, 0)),
    ("happy", (4, 6, 0, 0, 0, 0, 0, 0, 0, 0)),
    ("happy", (1, 4, 1, 1, 1, 1, 1, 0, 0, 0)),  # single votes are ignored
    ("no majority", (5, 5, 0, 0, 0, 0, 0, 0, 0, 0)),
    ("no majority", (3, 4, 3, 0, 0, 0, 0, 0, 0, 0)),
    ("no majority", (1, 1, 1, 1, 1, 1, 1, 1, 1, 1)),
    ("unknown", (0, 0, 0, 2, 0, 0, 0, 0, 8, 0)),
    ("not a face", (0, 0, 0, 0, 0, 0, 0, 0, 0, 10)),
}


@pytest.mark.parametrize(("label", "votes"), sorted(FERPLUS_VOTES))
def test_the_majority_is_that_of_barsoum_2016(label: str, votes: tuple[int, ...]):
    assert ferplus.majority_label(votes) == label


def test_ferplus_labels_the_images_of_fer2013_and_says_what_is_left_out(tmp_path: Path, root: Path):
    ferplus_root(tmp_path, root)
    cast = {
        0: [0, 0, 0, 0, 0, 0, 0, 10, 0, 0],
        1: [5, 5, 0, 0, 0, 0, 0, 0, 0, 0],
        2: [0, 0, 0, 0, 0, 0, 0, 0, 10, 0],
        3: [0, 0, 0, 0, 0, 0, 0, 0, 0, 10],
    }
    path = tmp_path / "fer2013new.csv"
    path.write_text(datasets.votes(cast))
    report = registry.add_dataset("ferplus", [path], root)
    (note,) = report.notes
    assert note == "3 images were left out: 1 no majority, 1 unknown, 1 not a face"
    found, source = registry.load_dataset("ferplus", root), registry.load_dataset("fer2013", root)
    assert found.class_names == ferplus.CLASS_NAMES
    assert found.original == (source.name, source.fingerprint)
    assert [len(found[role]) for role in found] == [11, 14, 14]
    labelled = dict(zip(found["train"].ids.tolist(), found["train"].labels.tolist(), strict=True))
    assert found.class_names[labelled["Training_00000"]] == "contempt"
    for role in ("validation", "test"):
        names = [found.class_names[k] for k in found[role].labels]
        assert names == [source.class_names[k] for k in source[role].labels]
        np.testing.assert_array_equal(found[role].images, source[role].images)
    assert not registry.add_dataset("ferplus", [path], root).changed


def test_votes_that_belong_to_other_images_are_refused(tmp_path: Path, root: Path):
    """Numbers in file names that count something else than the rows of fer2013.csv."""
    ferplus_root(tmp_path, root)
    head, *lines = datasets.votes().splitlines()
    usages = [line.partition(",")[0] for line in lines]
    rest = [line.partition(",")[2] for line in lines]
    turned = [f"{u},{r}" for u, r in zip(usages, rest[5:] + rest[:5], strict=True)]
    path = tmp_path / "fer2013new.csv"
    path.write_text("\n".join([head, *turned]))
    with pytest.raises(UserError, match=r"0 of 42 keep their label; add FER2013 from fer2013\.csv"):
        registry.add_dataset("ferplus", [path], root)


def test_ferplus_without_its_images_says_what_to_do(tmp_path: Path, root: Path):
    path = tmp_path / "fer2013new.csv"
    path.write_text(datasets.votes())
    with pytest.raises(UserError, match="fer2013 is not installed"):
        registry.add_dataset("ferplus", [path], root)
    with pytest.raises(UserError, match="fercore data add ferplus PATH"):
        registry.add_dataset("fer2013", [path], root)
    files = {
        f"{folder}/{mood}/im{n}.png": datasets.png(n + place)
        for place, folder in ((0, "train"), (100, "test"))
        for n, mood in enumerate(datasets.CLASSES * 4)
    }
    registry.add_dataset("fer2013", [datasets.write_zip(tmp_path / "folders.zip", files)], root)
    with pytest.raises(UserError, match=r"add FER2013 from fer2013\.csv first"):
        registry.add_dataset("ferplus", [path], root)
    path.write_text(datasets.votes().replace("10", "ten"))
    with pytest.raises(UserError, match=r"42 of 42 images cannot be used: .*data row 0 "):
        registry.add_dataset("ferplus", [path], ferplus_root(tmp_path, root / "csv"))


@pytest.mark.parametrize("kind", ["folder", "zip", "tar.gz", "parts"])
@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "val", "test"),
        ("Training", "validation", "Testing"),
        ("train_set", "Valid", "TEST"),
    ],
)
def test_folders_of_parts_are_kept(
    tmp_path: Path, root: Path, kind: str, train: str, validation: str, test: str
):
    names = {"train": train, "validation": validation, "test": test}
    folders = [f"{name}/{mood}" for name in names.values() for mood in ("happy", "sad")]
    files = datasets.layout(*folders)
    paths = {
        "folder": lambda: [datasets.write_folder(tmp_path / "set", files)],
        "zip": lambda: [datasets.write_zip(tmp_path / "set.zip", files)],
        "tar.gz": lambda: [datasets.write_tar(tmp_path / "set.tar.gz", files)],
        "parts": lambda: sorted(datasets.write_folder(tmp_path / "set", files).iterdir()),
    }[kind]()
    report = registry.add_dataset("mine", paths, root, new=True)
    splits = registry.load_dataset("mine", root)
    assert {role: len(splits[role]) for role in splits} == dict.fromkeys(names, 8)
    assert splits.class_names == ("happy", "sad")
    assert not splits.validation_from_train
    assert report.notes == ()
    assert splits["test"].ids.tolist()[0] == "test/happy/0"
    # A change of the size finds the size of what is stored.
    assert registry.add_dataset("mine", paths, root, new_size=24).changed
    assert registry.load_dataset("mine", root)["test"].images.shape[1:] == (24, 24)


def test_parts_below_the_class_are_kept_as_well(tmp_path: Path, root: Path):
    above = datasets.layout("train/happy", "train/sad", "test/happy", "test/sad")
    below = {
        "/".join((mood, part, name)): content
        for (part, mood, name), content in ((path.split("/"), c) for path, c in above.items())
    }
    for name, files in (("above", above), ("below", below)):
        registry.add_dataset(
            name, [datasets.write_zip(tmp_path / f"{name}.zip", files)], root, new=True
        )
    assert (
        registry.load_dataset("above", root).fingerprint
        == registry.load_dataset("below", root).fingerprint
    )


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "eval"),
        ("Training", "PrivateTest"),
        ("01_train", "02_test"),
        ("fer2013_train", "fer2013_test"),
        ("train-48x48", "test-48x48"),
        ("train.", "test."),
        ("train", "holdout"),
    ],
)
def test_parts_are_known_by_the_names_of_their_siblings(
    tmp_path: Path, root: Path, train: str, test: str
):
    files = datasets.layout(*(f"{part}/{mood}" for part in (train, test) for mood in ("a", "b")))
    registry.add_dataset("mine", [datasets.write_zip(tmp_path / "set.zip", files)], root, new=True)
    splits = registry.load_dataset("mine", root)
    assert {role: len(splits[role]) for role in splits} == {"train": 6, "validation": 2, "test": 8}
    assert set(splits.class_names) == {"a", "b"}


def test_one_folder_may_name_the_class_and_the_part(tmp_path: Path, root: Path):
    files = datasets.layout("Happy_train", "Happy_test", "sad_train", "sad_test")
    registry.add_dataset("mine", [datasets.write_zip(tmp_path / "set.zip", files)], root, new=True)
    splits = registry.load_dataset("mine", root)
    assert {role: len(splits[role]) for role in splits} == {"train": 6, "validation": 2, "test": 8}
    assert splits.class_names == ("happy", "sad")


def test_eval_is_validation_beside_a_test_folder(tmp_path: Path, root: Path):
    files = datasets.layout(*(f"{p}/{m}" for p in ("train", "eval", "test") for m in ("a", "b")))
    registry.add_dataset("mine", [datasets.write_zip(tmp_path / "set.zip", files)], root, new=True)
    splits = registry.load_dataset("mine", root)
    assert {role: len(splits[role]) for role in splits} == dict.fromkeys(splits, 8)
    assert not splits.validation_from_train


def test_fer2013_does_not_put_eval_and_test_together(tmp_path: Path, root: Path):
    files = datasets.layout(
        *(f"{p}/{c}" for p in ("train", "eval", "test") for c in datasets.CLASSES)
    )
    with pytest.raises(UserError, match=r"eval/.* tell its split"):
        registry.add_dataset("fer2013", [datasets.write_zip(tmp_path / "set.zip", files)], root)


def test_a_class_whose_name_holds_a_part_is_a_class(tmp_path: Path, root: Path):
    files = datasets.layout("test subject", "control", "dev team")
    registry.add_dataset("mine", [datasets.write_zip(tmp_path / "set.zip", files)], root, new=True)
    assert registry.load_dataset("mine", root).class_names == (
        "control",
        "dev team",
        "test subject",
    )


def test_folders_below_emotions_are_no_classes(tmp_path: Path, root: Path):
    folders = [
        f"{part}/{mood}/s{k}"
        for part in ("train", "test")
        for mood in ("joy", "Sad")
        for k in (1, 2)
    ]
    files = datasets.layout(*folders)
    report = registry.add_dataset(
        "mine", [datasets.write_zip(tmp_path / "set.zip", files)], root, new=True
    )
    assert registry.load_dataset("mine", root).class_names == ("happy", "sad")
    assert any("are the classes, not those inside them: s1, s2" in note for note in report.notes)


def test_folders_around_the_classes_are_named(tmp_path: Path, root: Path):
    files = datasets.layout("tr/a", "tr/b", "te/a", "te/b")
    report = registry.add_dataset(
        "mine", [datasets.write_zip(tmp_path / "set.zip", files)], root, new=True
    )
    assert report.notes == ("the folders above the class folders are not used: te, tr",)


def test_folders_that_become_one_class_are_named(tmp_path: Path, root: Path):
    files = datasets.layout("Joy", "happy", "sad.", "\U0001f600", "\U0001f600\ufe0f")
    report = registry.add_dataset(
        "mine", [datasets.write_folder(tmp_path / "set", files)], root, new=True
    )
    assert registry.load_dataset("mine", root).class_names == ("happy", "sad", "\U0001f600")
    assert "happy (Joy, happy)" in report.notes[0]


def test_classes_that_a_part_lacks_are_named(tmp_path: Path, root: Path):
    files = datasets.layout("train/a", "train/b", "test/a", "test/c")
    report = registry.add_dataset(
        "mine", [datasets.write_folder(tmp_path / "set", files)], root, new=True
    )
    assert report.notes[-2:] == (
        "the training part has no image of c",
        "the test part has no image of b",
    )


def test_training_that_is_too_small_to_take_validation_out_is_refused(tmp_path: Path, root: Path):
    files = datasets.layout("train/a", "train/b", "test/a", "test/b", per_folder=1)
    with pytest.raises(UserError, match="has too few images to take a validation split"):
        registry.add_dataset(
            "mine", [datasets.write_folder(tmp_path / "set", files)], root, new=True
        )


def test_two_spellings_of_a_part_may_hold_files_of_one_name(tmp_path: Path, root: Path):
    files = datasets.layout("train/a", "training/a", "train/b", "test/a", "test/b")
    registry.add_dataset("mine", [datasets.write_folder(tmp_path / "set", files)], root, new=True)
    splits = registry.load_dataset("mine", root)
    assert sum(len(splits[role]) for role in splits) == 20


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_links_and_climbing_names_are_counted(tmp_path: Path, root: Path, kind: str):
    files = datasets.layout("a", "b")
    if kind == "folder":
        path = datasets.write_folder(tmp_path / "set", files)
        (path / "b" / "link.png").symlink_to(path / "a" / "0.png")
        (path / "c").symlink_to(path / "a")
        expected = "passed over 2 files: 2 links"
    elif kind == "zip":
        path = datasets.write_zip(tmp_path / "set.zip", files | {"../b/9.png": datasets.png(77)})
        expected = 'passed over 1 file: 1 names with ".."'
    else:
        path = datasets.write_tar(tmp_path / "set.tar", files)
        with tarfile.open(path, "a") as archive:
            link = tarfile.TarInfo("b/hard.png")
            link.type, link.linkname = tarfile.LNKTYPE, "a/0.png"
            archive.addfile(link)
        expected = "passed over 1 file: 1 links"
    assert registry.add_dataset("mine", [path], root, new=True).notes == (expected,)


def test_images_beside_a_table_of_labels_say_what_was_passed_over(tmp_path: Path, root: Path):
    files = datasets.layout("images") | {"labels.csv": b"image,label\n0.png,1\n"}
    path = datasets.write_folder(tmp_path / "set", files)
    with pytest.raises(UserError, match=r"1 class \(images\).*passed over 1 file: 1 \.csv"):
        registry.add_dataset("mine", [path], root, new=True)


def test_a_table_for_a_dataset_of_ones_own_is_sent_to_fer2013(tmp_path: Path, root: Path):
    path = tmp_path / "mine.csv"
    path.write_text(datasets.table())
    with pytest.raises(UserError, match=r"received mine\.csv .*fercore data add fer2013 PATH"):
        registry.add_dataset("mine", [path], root, new=True)


def test_a_table_without_usage_says_so(tmp_path: Path, root: Path):
    path = tmp_path / "train.csv"
    path.write_text(datasets.table(header="emotion,pixels,other"))
    with pytest.raises(UserError, match=r"train\.csv: it has no column Usage"):
        registry.add_dataset("fer2013", [path], root)


def test_train_and_test_hold_a_validation_part_out(tmp_path: Path, root: Path):
    files = datasets.layout("train/happy", "train/sad", "test/happy", "test/sad", per_folder=16)
    report = registry.add_dataset(
        "mine", [datasets.write_folder(tmp_path / "set", files)], root, new=True
    )
    splits = registry.load_dataset("mine", root)
    assert {role: len(splits[role]) for role in splits} == {
        "train": 28,
        "validation": 4,
        "test": 32,
    }
    assert splits.validation_from_train
    assert report.notes == ("4 images were taken out of training to choose checkpoints on",)


def test_train_and_validation_are_no_dead_end(tmp_path: Path, root: Path):
    files = datasets.layout(*(f"{p}/{c}" for p in ("train", "val") for c in datasets.CLASSES))
    for name, new in (("mine", True), ("fer2013", False)):
        path = datasets.write_folder(tmp_path / name, files)
        report = registry.add_dataset(name, [path], root, new=new)
        assert any("there is no test folder" in note for note in report.notes)
        splits = registry.load_dataset(name, root)
        assert {role: len(splits[role]) for role in splits} == {
            "train": 21,
            "validation": 7,
            "test": 28,
        }
        assert splits.validation_from_train
        assert not is_duplicate_of(splits["test"].images, splits["validation"].images).any()
        assert registry.dataset_status(name, root).installed


def test_fer2013_with_a_validation_folder_takes_a_test_folder_later(tmp_path: Path, root: Path):
    files = datasets.layout(*(f"{p}/{c}" for p in ("train", "val") for c in datasets.CLASSES))
    registry.add_dataset("fer2013", [datasets.write_folder(tmp_path / "first", files)], root)
    more = datasets.layout(*(f"test/{c}" for c in datasets.CLASSES), per_folder=6)
    registry.add_dataset("fer2013", [datasets.write_folder(tmp_path / "second", more)], root)
    splits = registry.load_dataset("fer2013", root)
    assert {role: len(splits[role]) for role in splits} == {
        "train": 21,
        "validation": 7,
        "test": 42,
    }


def test_one_part_alone_is_no_split(tmp_path: Path, root: Path):
    files = datasets.layout("train/happy", "train/sad")
    report = registry.add_dataset(
        "mine", [datasets.write_folder(tmp_path / "set", files)], root, new=True
    )
    assert report.notes == ("only train/ is there: the images are not divided into splits",)
    assert set(registry.load_dataset("mine", root)) == {UNSPLIT}
    vehicles = datasets.write_folder(tmp_path / "vehicles", datasets.layout("train", "plane"))
    registry.add_dataset("vehicles", [vehicles], root, new=True)
    assert registry.load_dataset("vehicles", root).class_names == ("plane", "train")


def test_parts_without_class_folders_are_refused(tmp_path: Path, root: Path):
    flat = datasets.write_folder(tmp_path / "flat", datasets.layout("train", "test"))
    with pytest.raises(UserError, match="is in no class folder"):
        registry.add_dataset("mine", [flat], root, new=True)
    mixed = datasets.layout("train/happy", "train/sad", "test/happy", "test/sad", "more/happy")
    path = datasets.write_folder(tmp_path / "mixed", mixed)
    with pytest.raises(UserError, match=r"4 of 20 images cannot .* outside train/ and test/"):
        registry.add_dataset("mine", [path], root, new=True)
    registry.add_dataset("mine", [path], root, new=True, skip_bad=True)
    assert sum(map(len, registry.load_dataset("mine", root).parts.values())) == 16
