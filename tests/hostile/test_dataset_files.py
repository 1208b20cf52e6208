"""Test datasets with numbered classes, bad images, odd names, and archives beyond the limits."""

import unicodedata
from pathlib import Path

import pytest

from fercore.data import registry
from fercore.data.readers import archives
from fercore.data.splits import UNSPLIT
from fercore.errors import UserError
from tests.hostile import datasets


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


RAF = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


@pytest.mark.parametrize("edition", ["kaggle", "original"])
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_raf_db_keeps_its_split_and_gets_its_class_names(
    tmp_path: Path, root: Path, edition: str, kind: str
):
    files = datasets.raf_kaggle() if edition == "kaggle" else datasets.raf_original()
    write = datasets.write_folder if kind == "folder" else datasets.write_zip
    path = write(tmp_path / ("set.zip" if kind == "zip" else "set"), files)
    report = registry.add_dataset("rafdb", [path], root, new=True)
    splits = registry.load_dataset("rafdb", root)
    assert splits.class_names == RAF
    assert {role: len(splits[role]) for role in splits} == {
        "train": 21,
        "validation": 7,
        "test": 28,
    }
    assert any("RAF-DB" in note for note in report.notes)
    # The first four of each part are surprise, 1.
    labelled = dict(zip(splits["test"].ids.tolist(), splits["test"].labels.tolist(), strict=True))
    (first,) = (label for name, label in labelled.items() if "test_00029" in name)
    assert splits.class_names[first] == "surprise"


def test_other_numbers_as_class_names_are_pointed_out(tmp_path: Path, root: Path):
    path = datasets.write_folder(tmp_path / "set", datasets.layout("0", "1"))
    report = registry.add_dataset("mine", [path], root, new=True)
    assert registry.load_dataset("mine", root).class_names == ("0", "1")
    assert any("class names are numbers" in note for note in report.notes)


def test_a_wrong_list_of_labels_is_refused(tmp_path: Path, root: Path):
    files = datasets.raf_original()
    files["basic/EmoLabel/list_patition_label.txt"] += b"train_99999.jpg 8\n"
    path = datasets.write_folder(tmp_path / "set", files)
    with pytest.raises(UserError, match=r"line 57: received 'train_99999\.jpg 8'"):
        registry.add_dataset("rafdb", [path], root, new=True)


def test_bad_images_are_all_named_and_can_be_left_out(tmp_path: Path, root: Path):
    files = datasets.layout("happy", "sad")
    bad = {f"sad/bad{n}.png": b"no image" for n in range(14)}
    path = datasets.write_folder(tmp_path / "set", files | bad)
    with pytest.raises(UserError) as raised:
        registry.add_dataset("mine", [path], root, new=True)
    message = str(raised.value)
    assert message.startswith("14 of 22 images cannot be used: cannot decode set/sad/bad0.png")
    assert message.count("cannot decode") == 10
    assert "and 4 more; leave them out with --skip-bad" in message
    assert "\n" not in message
    report = registry.add_dataset("mine", [path], root, new=True, skip_bad=True)
    assert report.notes[0].startswith("left out: 14 of 22 images")
    assert len(registry.load_dataset("mine", root)[UNSPLIT]) == 8
    (root / "other").mkdir(parents=True)
    only = datasets.write_folder(tmp_path / "only", bad)
    with pytest.raises(UserError, match="14 of 14"):
        registry.add_dataset("other", [only], root, new=True, skip_bad=True)


@pytest.mark.parametrize("name", ["ckplus", "lfw_emotion", "fer2013"])
def test_bad_images_of_known_datasets_can_be_left_out(tmp_path: Path, root: Path, name: str):
    faces = {
        "ckplus": {
            f"{mood}/S{k:03d}_001_00000001.png": datasets.png(k)
            for k, mood in enumerate(("anger", "fear", "happy"))
        },
        "lfw_emotion": {f"images/P_{k:04d}.png": datasets.png(k) for k in range(3)},
        "fer2013": {
            f"train/{mood}/Training_{k}.png": datasets.png(k)
            for k, mood in enumerate(("angry", "fear", "happy"))
        },
    }[name]
    if name == "lfw_emotion":
        legend = "".join(f"P_{k:04d}.png,{m}\n" for k, m in enumerate(("anger", "fear", "happy")))
        faces["legend.csv"] = b"image,emotion\n" + legend.encode()
    victim = next(iter(faces))
    path = datasets.write_folder(tmp_path / "set", faces | {victim: b"torn"})
    with pytest.raises(UserError, match=f"cannot decode set/{victim}.*; leave it out with"):
        registry.add_dataset(name, [path], root)
    report = registry.add_dataset(name, [path], root, skip_bad=True)
    assert sum(sum(counts.values()) for counts in report.counts.values()) == 2
    assert any(note.startswith("left out: 1 of 3 images") for note in report.notes)


def test_names_that_differ_in_the_spelling_of_an_accent_are_one_class(tmp_path: Path, root: Path):
    composed = "col\u00e8re"
    apart = unicodedata.normalize("NFD", composed)
    files = datasets.layout(composed, apart, "joie", per_folder=2)
    path = datasets.write_zip(tmp_path / "set.zip", files)
    registry.add_dataset("mine", [path], root, new=True)
    splits = registry.load_dataset("mine", root)
    assert splits.class_names == (composed, "joie")
    assert len(set(splits[UNSPLIT].ids.tolist())) == 6
    other = datasets.layout(apart, "joie", per_folder=2)
    one = registry.add_dataset(
        "one", [datasets.write_zip(tmp_path / "one.zip", other)], root, new=True
    )
    renamed = {unicodedata.normalize("NFC", name): content for name, content in other.items()}
    two = registry.add_dataset(
        "two", [datasets.write_zip(tmp_path / "two.zip", renamed)], root, new=True
    )
    assert one.fingerprint == two.fingerprint


def test_class_names_and_ids_are_bounded(tmp_path: Path, root: Path):
    path = datasets.write_folder(tmp_path / "set", datasets.layout("a" * 65, "b"))
    with pytest.raises(UserError, match="has a name of 65 characters, expected 64 at most"):
        registry.add_dataset("mine", [path], root, new=True)
    deep = "/".join(["x" * 100] * 5)
    files = datasets.layout(f"{deep}/a", f"{deep}/b")
    registry.add_dataset("mine", [datasets.write_zip(tmp_path / "deep.zip", files)], root, new=True)
    ids = registry.load_dataset("mine", root)[UNSPLIT].ids
    assert len(set(ids.tolist())) == 8
    assert max(map(len, ids.tolist())) == 200


def test_an_archive_of_too_many_files_is_refused(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 100)
    files = {f"a/{n}": b"" for n in range(101)}
    for path in (
        datasets.zip_of_many(tmp_path / "many.zip", 101),
        datasets.write_tar(tmp_path / "many.tar.gz", files),
    ):
        with pytest.raises(UserError, match="has more than 100 files; expected smaller archives"):
            registry.add_dataset("mine", [path], root, new=True)
    monkeypatch.setattr(archives, "_MAX_DIRECTORY", 1000)
    with pytest.raises(UserError, match="lists more than 7 files"):
        registry.add_dataset("mine", [tmp_path / "many.zip"], root, new=True)


def test_an_archive_of_too_much_content_is_refused(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(archives, "MAX_INFLATED", 1 << 30)
    path = datasets.zip_that_says_more(tmp_path / "large.zip", 3 << 30)
    with pytest.raises(UserError, match="has more than 1 GB when unpacked"):
        registry.add_dataset("mine", [path], root, new=True)
    # Not by the list: a header that tells the reader of the TAR to take it all into memory.
    path = datasets.tar_with_a_long_header(tmp_path / "header.tar.gz", 200 << 20)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(UserError, match="when unpacked"):
        registry.add_dataset("mine", [path], root, new=True)


def test_a_zip_written_on_windows_has_folders(tmp_path: Path, root: Path):
    files = {name.replace("/", "\\"): c for name, c in datasets.layout("happy", "sad").items()}
    registry.add_dataset("mine", [datasets.write_zip(tmp_path / "set.zip", files)], root, new=True)
    assert registry.load_dataset("mine", root).class_names == ("happy", "sad")


def test_a_path_that_is_too_long_is_one_line(root: Path):
    with pytest.raises(UserError, match="does not exist"):
        registry.add_dataset("mine", [Path("a" * 300 + ".zip")], root, new=True)
