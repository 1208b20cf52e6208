"""Operations of one prediction."""

from pathlib import Path

from dashboard.analysis.network_cost import count_prediction_macs
from fercore.runs.listing import list_runs
from fercore.runs.macs import count_macs

RUNS = Path(__file__).parents[3] / "runs"


def test_an_ensemble_costs_all_members_and_views():
    runs = {run.id: run for run in list_runs(RUNS)}
    tta = next(run for run in runs.values() if run.id.startswith("facet-tiny-tta"))
    (member,) = tta.config.combined.members
    own = count_macs(runs[member].layers())
    assert count_prediction_macs(runs[member], runs.get) == own
    assert count_prediction_macs(tta, runs.get) == 10 * own
    assert count_prediction_macs(tta, lambda name: None) is None
