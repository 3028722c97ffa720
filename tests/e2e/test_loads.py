"""Open loads on a real chain: what was meant to be offered is offered, and what cannot be is told."""

from __future__ import annotations

from pathlib import Path

from bundle import BundleLayout, read_manifest, read_table
from bundle.tables import GENERATOR, SAMPLES
from loadtests.arrivals import ArrivalKind, Constant, Process, Ramp, arrival_count, schedule_seed
from tests.e2e.gameday_process import gameday
from tests.e2e.plans import QUICK, write_plan

RAMP = {"kind": "ramp", "from_per_s": 2, "to_per_s": 120, "over_s": 15, "process": "even"}
TRANSFERS = {"scenario": "transfer", "in_flight": 60, "arrivals": {"kind": "constant", "rate_per_s": 50}}
QUERIES = {"scenario": "query", "arrivals": RAMP}


def test_a_scaled_load_offers_its_schedule_to_the_unit(tmp_path: Path, target: Path) -> None:
    """Half the rate: every arrival of the schedule became one operation, in its own order, and the run passes."""
    plan = write_plan(tmp_path, "open", load_s=18, loads=(TRANSFERS, QUERIES), budgets=QUICK)
    ended = gameday("load", plan, "--scale", "0.5", "--target", target, "--runs", tmp_path)
    assert ended.code == 0, ended.out + ended.err
    layout = BundleLayout(root=ended.bundle)
    manifest = read_manifest(layout.manifest)
    assert manifest.rate_scale == 0.5
    samples = read_table(layout, SAMPLES).to_pandas()
    schedules: dict[str, ArrivalKind] = {
        "transfer": Constant(rate_per_s=25.0),
        "query": Ramp(from_per_s=1.0, to_per_s=60.0, over_s=15.0, process=Process.EVEN),
    }
    offered = {
        "transfer": int((samples["operation"] == "tx.submit").sum()),
        "query": int(samples["protocol"].isin(["RPC", "REST", "GRPC"]).sum()),
    }
    assert offered == {name: arrival_count(it, 18.0, schedule_seed(1, name)) for name, it in schedules.items()}
    assert (samples["sent_at_s"] >= samples["intended_at_s"]).all()
    watched = read_table(layout, GENERATOR).to_pandas()
    assert watched["begun"].sum() <= sum(offered.values()), "the last second may not have a row"
    assert watched["given_up"].sum() == 0
    # The plan as run gives the same schedule again.
    assert "rate_scale = 0.5\n" in layout.plan.read_text()


def test_a_load_that_is_more_than_can_be_offered_is_inconclusive(tmp_path: Path, target: Path) -> None:
    """Ten thousand reads a second through twenty users: whatever the latencies say, it is not about the target."""
    load = {"scenario": "query", "in_flight": 20, "arrivals": {"kind": "constant", "rate_per_s": 10_000}}
    plan = write_plan(tmp_path, "toomuch", load_s=4, loads=(load,), budgets=("PB-L-03",), warm_up_s=1)
    ended = gameday("run", plan, "--target", target, "--runs", tmp_path)
    assert ended.code == 3, ended.out + ended.err
    assert "load.under_offered" in ended.codes()
    assert "for want of a free user" in ended.out
