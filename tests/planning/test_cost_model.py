"""The formula, by hand; and that a fit finds the numbers that it was made with."""

import dataclasses

import pytest

from ksim.config import ConfigError
from ksim.planning import CostModel, Measurement, Network, fit_cost_model
from tests.planning.runs import workload

MODEL = CostModel(
    unit="one core of a CPU",
    step=1e-3,
    environment_step=1e-5,
    update=2e-3,
    sample=1e-6,
    compressed_number=1e-8,
    network=Network(hop_seconds=5e-5, bytes_per_second=1e8),
)


def measured(load):
    cost = MODEL.predict(load)
    return Measurement("a run", load, cost.rollout_seconds, cost.update_seconds)


def test_an_iteration_by_hand():
    cost = MODEL.predict(workload(num_devices=2, num_envs=64))
    assert cost.num_steps == 640
    # 10 steps of 1 ms, and 32 environments of 10 us in each.
    assert cost.rollout_seconds == pytest.approx(10 * (1e-3 + 32 * 1e-5))
    # 4 updates of 2 ms, and 320 samples of 1 us.
    assert cost.learning_seconds == pytest.approx(4 * 2e-3 + 320 * 1e-6)
    # 4 averages of 0.1 ms; each sends 2 * 1/2 * 1000 numbers of 4 bytes at 100 MB/s.
    assert cost.communication_seconds == pytest.approx(4 * 1e-4 + 4 * 4000 / 1e8)
    assert cost.update_seconds == cost.learning_seconds + cost.communication_seconds
    assert cost.env_steps_per_second == 640 / cost.seconds


def test_one_device_communicates_nothing():
    assert MODEL.predict(workload(num_devices=1)).communication_seconds == 0


def test_devices_that_share_a_core_take_turns():
    alone = MODEL.predict(workload(num_devices=4))
    shared = MODEL.predict(workload(num_devices=4, cores_on_host=2))
    assert shared.rollout_seconds == pytest.approx(2 * alone.rollout_seconds)
    assert shared.learning_seconds == pytest.approx(2 * alone.learning_seconds)
    assert shared.communication_seconds == alone.communication_seconds


def test_accelerators_share_no_core():
    gpus = {"platform": "gpu", "device_kind": "a GPU", "cores_on_host": 1}
    alone = MODEL.predict(workload(num_devices=4))
    assert MODEL.predict(workload(num_devices=4, **gpus)) == alone


def test_compressing_costs_and_saves():
    plain = MODEL.predict(workload())
    compressed = MODEL.predict(workload(traffic={"compression": "int8"}))
    # Once in each of 4 updates, and the remainder after the last.
    assert compressed.learning_seconds - plain.learning_seconds == pytest.approx(5 * 1000 * 1e-8)
    assert compressed.communication_seconds < plain.communication_seconds


def test_a_fit_finds_the_numbers_that_made_the_runs():
    loads = [
        workload(num_devices=2, num_envs=32),
        workload(num_devices=2, num_envs=256),
        workload(num_devices=1, num_envs=64),
        workload(num_devices=4, num_envs=64, cores_on_host=2),
        workload(num_devices=2, num_envs=64, traffic={"compression": "int8"}),
    ]
    found = fit_cost_model([measured(load) for load in loads])
    for field in ("step", "environment_step", "update", "sample", "compressed_number"):
        assert getattr(found, field) == pytest.approx(getattr(MODEL, field), rel=1e-6)
    # Latencies of 0.1 ms: 2 hops with 2 devices, twice; 6 hops with 4; the median is 50 us.
    assert found.network == MODEL.network
    held_out = workload(num_devices=8, num_envs=1024, cores_on_host=4, traffic={"period": 4})
    assert found.predict(held_out).seconds == pytest.approx(MODEL.predict(held_out).seconds)


def test_one_run_tells_no_fixed_cost():
    model = fit_cost_model([measured(workload(num_envs=64))])
    assert (model.step, model.update) == (0, 0)
    assert model.predict(workload(num_envs=64)).seconds == pytest.approx(
        MODEL.predict(workload(num_envs=64)).seconds
    )
    twice = model.predict(workload(num_envs=128))
    assert twice.rollout_seconds == pytest.approx(
        2 * MODEL.predict(workload(num_envs=64)).rollout_seconds
    )


def test_no_cost_is_below_zero():
    # More environments, and yet faster: noise.
    few = dataclasses.replace(measured(workload(num_envs=32)), rollout_seconds=0.2)
    many = dataclasses.replace(measured(workload(num_envs=64)), rollout_seconds=0.1)
    model = fit_cost_model([few, many])
    assert model.environment_step == 0
    assert 0.01 < model.step < 0.02


def test_runs_on_other_devices_are_refused():
    few_devices = measured(workload(num_devices=1, cores_on_host=8))
    with pytest.raises(ConfigError, match="8 cores of a CPU, but one core of a CPU"):
        fit_cost_model([measured(workload()), few_devices])
    with pytest.raises(ConfigError, match="at least one"):
        fit_cost_model([])
