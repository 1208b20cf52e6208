"""Our own networks: what `fercore models` prints is computed from the runs alone."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fercore.cli import app
from fercore.reproduction import goals, networks
from fercore.runs.listing import list_runs

RUNS = Path(__file__).parents[2] / "runs"


def call(*words: str) -> str:
    answer = CliRunner().invoke(app, ["models", *words, "--runs-root", str(RUNS)])
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def test_a_network_has_the_mean_over_its_seeds():
    runs = list_runs(RUNS)
    summaries = {summary.title: summary for summary in networks.summarize(runs)}
    tiny = summaries["Facet, tiny"]
    own = list(goals.runs_of("facet-tiny", runs).values())
    assert tiny.runs == tuple(run.id for run in own)
    for accuracy, split in ((tiny.test, "test"), (tiny.clean, "test_unique")):
        values = [100 * run.results.splits[split].accuracy for run in own]
        assert accuracy.mean == pytest.approx(np.mean(values))
        assert accuracy.spread == pytest.approx(np.std(values, ddof=1))
        assert accuracy.n == own[0].results.splits[split].n
        assert accuracy.low < accuracy.mean < accuracy.high
    assert (tiny.test.n, tiny.clean.n) == (3589, 3301)


def test_ensembles_of_our_networks_belong_to_them_and_those_of_papers_do_not():
    titles = [summary.title for summary in networks.summarize(list_runs(RUNS))]
    assert "Facet, tiny, ten-view TTA" in titles
    assert "Ensemble of 5 networks, selected on PublicTest" in titles
    assert not [title for title in titles if title.startswith(("Katkar", "Ranjan"))]
    assert networks.summarize([]) == []


def test_the_command_ranks_by_publictest_and_explains():
    fields = json.loads(call("--json"))
    means = [entry["validation"]["mean"] for entry in fields]
    assert means == sorted(means, reverse=True)
    assert len(call("--markdown").splitlines()) == 2 + len(fields)
    assert "Facet, tiny" in call()
    assert json.loads(call("--explain", "--json")) == list(goals.notes())
    assert "Facet (fercore/models/facet.py)" in call("--explain")
