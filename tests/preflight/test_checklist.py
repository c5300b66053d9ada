"""The checklist: what it prints, and that each check fails where it should."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from examples.cartpole import CartPoleTask
from ksim import ConfigError
from ksim.parallel.processes import SingleProcess
from ksim.preflight import checks
from ksim.preflight.checklist import (
    all_devices_busy,
    checkpoint_loads,
    collectives_right,
    fast_together,
    one_run_directory,
    parameters_equal,
    smoke_test,
)
from ksim.preflight.checks import compared, run_path
from tests.small_cartpole import small_config, small_task


def verdicts(preflight):
    return {check.name: check.has_passed for check in preflight.checks}


def test_a_slow_device_fails():
    # Device 2 takes 2 s, the others 1 s: they are busy for half of the time.
    check = all_devices_busy({0: 1.0, 1: 1.0, 2: 2.0}, are_cores_shared=False)
    assert check.has_passed is False
    assert "each was busy for 50% of the time" in check.figure
    assert "Device 2 is the slowest, device 0 waits" in check.figure
    assert all_devices_busy({0: 1.3, 1: 2.0}, are_cores_shared=False).has_passed  # 65%
    assert all_devices_busy({}, are_cores_shared=False).has_passed
    assert all_devices_busy({0: 1.0, 1: 9.0}, are_cores_shared=True).has_passed is None


def test_the_speed_of_several_is_compared_with_one():
    # 4 devices have to be as fast as 3.
    assert fast_together(310.0, 100.0, 4, False).has_passed
    slow = fast_together(250.0, 100.0, 4, False)
    assert slow.has_passed is False
    assert "250, 2.50 times the 100 of one device; 3 times are expected of 4." in slow.figure
    assert fast_together(250.0, 100.0, 4, True).has_passed is None
    assert fast_together(250.0, None, 4, False).has_passed is None
    assert fast_together(250.0, None, 1, False).has_passed


def test_two_directories_fail():
    assert one_run_directory(["/a/runs/snake"] * 4).has_passed
    check = one_run_directory(["/a/runs/snake", "/b/runs/snake"])
    assert check.has_passed is False
    assert check.figure.startswith("2 directories: /a/runs/snake, /b/runs/snake. Start all")


def test_other_parameters_fail():
    assert parameters_equal(True, 0.0, 4).has_passed
    check = parameters_equal(False, 0.25, 4)
    assert check.has_passed is False and "by up to 0.25" in check.figure


def test_a_wrong_average_fails():
    # The mean of 0, 1, 2, 3 is 1.5.
    assert collectives_right([1.5] * 4, 1e-6).has_passed
    check = collectives_right([1.5, 1.5, 2.0, 1.5], 1e-6)
    assert check.has_passed is False and "device 2 got 2.0" in check.figure
    assert collectives_right([0.0], None).has_passed


def test_a_checkpoint_that_changes_fails():
    saved = {"a": jnp.arange(3.0), "key": jax.random.key(0)}
    assert compared(saved, saved) == [2, 12 + 8, []]
    assert compared(saved, saved | {"a": jnp.array([0.0, 1.0, 3.0])})[2] == ["a"]
    assert checkpoint_loads(2, 20, []).has_passed
    check = checkpoint_loads(2, 20, ["a"])
    assert check.has_passed is False and "of which a came back different" in check.figure


def test_what_is_no_number_fails():
    assert smoke_test({"loss/total": 1.0}, 2).has_passed
    check = smoke_test({"loss/total": float("nan"), "policy/kl": 0.0}, 2)
    assert check.has_passed is False and "loss/total" in check.figure


def test_a_line_begins_with_the_verdict():
    lines = [str(one_run_directory(["/a"])), str(one_run_directory(["/a", "/b"]))]
    lines += [str(fast_together(1.0, None, 2, False))]
    assert [line[:8] for line in lines] == ["  pass  ", "  FAIL  ", "  ----  "]


NAMES = [
    *("all devices busy", "global frames per second", "one run directory"),
    *("parameters equal everywhere", "no errors of collectives"),
    *("a checkpoint loads on one device", "smoke test"),
]


@pytest.mark.parametrize("num_devices", [1, 4])
def test_verify_prints_the_checklist(num_devices, capsys, tmp_path):
    preflight = small_task(num_devices=num_devices, run_mode="verify").run()
    shown = capsys.readouterr().out.split("Checklist:\n")[1].splitlines()
    assert [check.name for check in preflight.checks] == NAMES
    assert shown == [str(check) for check in preflight.checks]
    judged = {name: passed for name, passed in verdicts(preflight).items() if passed is not None}
    assert all(judged.values())
    assert len(judged) == (7 if num_devices == 1 else 5)  # simulated devices share their cores
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "cache"])


class DriftingTask(CartPoleTask):
    """Averages nothing, so that each device follows its own gradient."""

    def custom_gradient_sync(self, grads):
        return grads


def test_parameters_that_differ_fail_in_a_trial(capsys):
    task = DriftingTask(small_config(num_devices=2, run_mode="verify"))
    with pytest.raises(ConfigError, match=r"1 of 7 checks failed\. FAIL  parameters equal every"):
        task.run()
    assert "  FAIL  parameters equal everywhere: the bits differ on 2" in capsys.readouterr().out


def test_processes_in_two_directories_fail_in_a_trial(monkeypatch):
    class TwoProcesses(SingleProcess):
        def exchange(self, tag, value, timeout_seconds=None):
            if tag != "the checklist":
                return [value]
            return [[path, value[1]] for path in ("/a/runs/cart_pole", "/b/runs/cart_pole")]

    run = checks.run_checks

    def run_in_two(*arguments):
        return run(*arguments[:4], TwoProcesses(), *arguments[5:])

    monkeypatch.setattr("ksim.preflight.verification.run_checks", run_in_two)
    preflight = small_task(num_devices=1, run_mode="verify").verify_setup()
    assert verdicts(preflight)["one run directory"] is False


def test_a_slow_device_fails_in_a_trial(monkeypatch):
    run = checks.run_checks

    def run_with_a_slow_device(trial, times, *rest):
        times = dataclasses.replace(times, device_seconds={0: 1.0, 1: 3.0})
        return run(trial, times, *rest)

    monkeypatch.setattr("ksim.preflight.verification.run_checks", run_with_a_slow_device)
    monkeypatch.setattr(checks, "shares_cores", lambda program: False)
    monkeypatch.setattr(checks, "rate_on_one_device", lambda build, seed: 1e-9)
    with pytest.raises(ConfigError, match="Device 1 is the slowest, device 0 waits for it"):
        small_task(num_devices=2, run_mode="verify").run()


def test_the_speed_on_one_device_is_measured_with_the_share_of_one(monkeypatch):
    task = small_task(num_devices=2)
    task.build()
    program = task._on_one_device()()
    assert (program.partitioner.num_devices, program.num_envs) == (1, 8)
    assert checks.rate_on_one_device(lambda: program, 0) > 0
    assert small_task(num_devices=1)._on_one_device() is None


def test_a_run_is_compared_as_an_absolute_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run_path(small_config(), "cart_pole") == f"{tmp_path}/runs/cart_pole"
    assert run_path(small_config(run_dir="here"), "cart_pole") == f"{tmp_path}/here"


def test_a_run_says_that_its_devices_agree(capsys):
    small_task(num_devices=2, max_steps=1).run()
    assert "Parameters are the same bits on all 2 devices." in capsys.readouterr().out
