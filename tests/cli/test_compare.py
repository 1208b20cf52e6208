import json
import sys
from pathlib import Path

import pytest

from fercore.cli import main
from fercore.runs.reader import read_run

RUNS = Path(__file__).parents[2] / "runs"
DEEP = "le2019-deep-s0-20261121T052505"
SHALLOW = "le2019-shallow-s0-20261121T083245"
SIX = "katkar2021-model1-original-s0-20261121T024357"
RATH = "rath2021-original-subjects-s0-f0-20261121T063628"
LEAKY = "khopkar2021-s0-20261121T074333"


@pytest.fixture
def compare(monkeypatch, capsys):
    """Run `fercore compare` on the committed runs: status, stdout, stderr."""
    monkeypatch.setenv("FERCORE_RUNS", str(RUNS))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["fercore", "compare", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return call


def test_tables_of_figures_and_differences(compare):
    status, out, err = compare(DEEP, SHALLOW, SIX)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == (
        "On 3,534 images that all of these runs were evaluated on (PrivateTest, without disgust):"
    )
    assert " ".join(lines[1].split()) == "run n accuracy % 95% CI macro-F1 UAR %"
    assert [line.split()[:2] for line in lines[2:5]] == [
        [name, "3534"] for name in (DEEP, SHALLOW, SIX)
    ]
    assert lines[6] == f"Against {DEEP}:"
    assert [line.split()[:2] for line in lines[8:10]] == [[name, "3534"] for name in (SHALLOW, SIX)]
    assert all("worse" in line for line in lines[8:10])
    assert "corrected for 2 tests against one baseline by Holm's method" in lines[-1]
    assert "groups" not in out.replace("in groups", "").replace("whole groups", "")


def test_json_holds_the_same_figures(compare):
    status, out, _ = compare(DEEP, SHALLOW, "--json")
    content = json.loads(out)
    assert status == 0
    assert content["baseline"] == DEEP
    assert content["images"] == [{"runs": [DEEP, SHALLOW], "text": "3,589 images of PrivateTest"}]
    for row in content["runs"]:
        result = read_run(RUNS / row["run"]).results.splits["test"]
        assert (row["accuracy"], row["uar"], row["n"]) == (result.accuracy, result.uar, result.n)
    (row,) = content["comparisons"]
    assert row["accuracy"]["low"] < row["accuracy"]["difference"] < row["accuracy"]["high"] < 0
    assert row["p"] == row["p_corrected"] < 1e-10
    assert row["verdict"] == "worse"
    first, second = (one["accuracy"] for one in content["runs"])
    assert row["only_this"] - row["only_baseline"] == round((second - first) * 3589)


def test_markdown_and_groups(compare):
    status, out, _ = compare(
        RATH, RATH.replace("original", "balanced").replace("063628", "064253"), "--markdown"
    )
    assert status == 0
    assert out.count("\n| --- |") == 2
    assert out.count("by subject, 1,114 groups") == 3


def test_runs_on_other_images_are_named(compare):
    status, out, _ = compare(DEEP, SHALLOW, RATH)
    assert status == 0
    assert f"{RATH} on 2,552 images of Fold 1 of 5 by subject" in out.splitlines()[0]
    line = next(x for x in reversed(out.splitlines()) if x.startswith(RATH))
    assert "no images in common" in line
    status, out, _ = compare(DEEP, RATH, SHALLOW, "--json")
    assert json.loads(out)["comparisons"][0] == {"run": RATH, "verdict": "no images in common"}


def test_a_protocol_that_leaks_is_noted(compare):
    status, _, err = compare(DEEP, LEAKY)
    assert status == 0
    assert err.startswith(f"note: {LEAKY} follows a published protocol in which test images")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([DEEP], "received 1 run, expected two or more to compare"),
        ([DEEP, DEEP], f"received {DEEP} more than once"),
        ([DEEP, "nope"], "received the run 'nope'"),
        ([DEEP, RATH], "the runs share no images with equal labels"),
        ([DEEP, SHALLOW, "--split", "train"], "received the split 'train'"),
        ([DEEP, SHALLOW, "--json", "--markdown"], "received both --markdown and --json"),
        ([], "Missing argument"),
    ],
)
def test_mistakes_are_answered_in_one_line(compare, arguments, message):
    status, out, err = compare(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("fercore: error: ")
    assert err.count("\n") == 1
    assert message in err
