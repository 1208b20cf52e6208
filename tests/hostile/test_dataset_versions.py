"""Test that an installed dataset is replaced, brought back and repaired as a whole."""

import subprocess
import sys
from pathlib import Path

import pytest

from fercore.data import registry, store
from fercore.data.splits import UNSPLIT
from fercore.errors import UserError
from tests.hostile import datasets


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


CODE = "import sys; from fercore.cli import main; sys.argv[0] = 'fercore'; main()"


def versions(root: Path) -> tuple[str, str]:
    """Install two versions of a dataset, one after the other; their fingerprints."""
    first = datasets.write_zip(root.parent / "1.zip", datasets.layout("happy", "sad"))
    second = datasets.write_zip(root.parent / "2.zip", datasets.layout("fear", "sad"))
    return (
        registry.add_dataset("mine", [first], root, new=True).fingerprint,
        registry.add_dataset("mine", [second], root, new=True).fingerprint,
    )


def test_the_version_before_is_kept_and_comes_back(root: Path):
    root.parent.mkdir(exist_ok=True)
    first, second = versions(root)
    assert registry.has_previous("mine", root)
    assert registry.undo_change("mine", root).fingerprint == first
    assert registry.load_dataset("mine", root).class_names == ("happy", "sad")
    assert registry.undo_change("mine", root).fingerprint == second
    assert registry.load_dataset("mine", root).class_names == ("fear", "sad")
    # One version is kept, not all.
    third = datasets.write_zip(root.parent / "3.zip", datasets.layout("anger", "sad"))
    registry.add_dataset("mine", [third], root)
    assert len(list((root / "mine").glob("*.npz"))) == 2
    assert registry.undo_change("mine", root).fingerprint == second


def test_without_a_version_before_there_is_nothing_to_undo(root: Path):
    root.parent.mkdir(exist_ok=True)
    with pytest.raises(UserError, match="received the dataset 'mine'"):
        registry.undo_change("mine", root)
    path = datasets.write_zip(root.parent / "1.zip", datasets.layout("happy", "sad"))
    registry.add_dataset("mine", [path], root, new=True)
    registry.add_dataset("mine", [path], root)
    assert not registry.has_previous("mine", root)
    with pytest.raises(UserError, match="mine has no previous version"):
        registry.undo_change("mine", root)


def test_a_damaged_dataset_can_be_brought_back(root: Path):
    root.parent.mkdir(exist_ok=True)
    first, second = versions(root)
    (root / "mine" / f"{second}.npz").write_bytes(b"torn")
    assert registry.undo_change("mine", root).fingerprint == first
    assert len(registry.load_dataset("mine", root)[UNSPLIT]) == 8


def test_two_that_add_at_once_leave_a_whole_dataset(tmp_path: Path, root: Path):
    """Each adds one part of FER2013: both are there at the end, whichever came first."""
    halves = []
    for usages in (("Training",), ("PublicTest", "PrivateTest")):
        lines = datasets.table().splitlines()
        kept = [line for line in lines[1:] if line.endswith(usages)]
        path = tmp_path / f"{usages[0]}.csv"
        path.write_text("\n".join([lines[0], *kept]) + "\n")
        halves.append(path)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", CODE, "data", "add", "fer2013", path, "--data-root", root],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        for path in halves * 2
    ]
    for process in running:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    splits = registry.load_dataset("fer2013", root)
    assert [len(splits[role]) for role in splits] == [14, 14, 14]


def test_what_a_killed_process_left_is_removed(root: Path):
    root.parent.mkdir(exist_ok=True)
    (root / "mine").mkdir(parents=True)
    for name in (".0123456789abcdef.npz.x7f_a1", ".dataset.json.k2j3"):
        (root / "mine" / name).write_bytes(b"torn")
    versions(root)
    assert not list((root / "mine").glob(".*"))


def test_who_waits_too_long_is_told(root: Path, monkeypatch: pytest.MonkeyPatch):
    root.parent.mkdir(exist_ok=True)
    monkeypatch.setattr(store, "_MAX_WAIT_SECONDS", 0.2)
    path = datasets.write_zip(root.parent / "1.zip", datasets.layout("happy", "sad"))
    with store.lock_dataset(root, "mine"):
        with pytest.raises(UserError, match="another process has been changing mine"):
            registry.add_dataset("mine", [path], root, new=True)
        registry.add_dataset("other", [path], root, new=True)
    registry.add_dataset("mine", [path], root, new=True)


def test_a_reader_finds_a_dataset_that_is_replaced_while_it_reads(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    root.parent.mkdir(exist_ok=True)
    versions(root)
    third = datasets.write_zip(root.parent / "3.zip", datasets.layout("anger", "sad"))
    fourth = datasets.write_zip(root.parent / "4.zip", datasets.layout("joy", "sad"))
    real = store._read_arrays
    changes = [third, fourth]

    def replaced_meanwhile(*arguments):
        if changes:
            waiting, changes[:] = list(changes), []
            for path in waiting:
                registry.add_dataset("mine", [path], root)
        return real(*arguments)

    monkeypatch.setattr(store, "_read_arrays", replaced_meanwhile)
    assert registry.load_dataset("mine", root).class_names == ("happy", "sad")
