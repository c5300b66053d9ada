"""What `matmul_precision=auto` comes to, and that the networks multiply as they are told."""

import pytest

import ksim
from ksim.config import parse_command_line
from ksim.task import precision
from ksim.task.precision import bfloat16_instructions, settle_matmul_precision
from tests.small_cartpole import read_metrics, small_config, small_task

FLAGS = {
    "AMX": "fpu avx512_bf16 amx_bf16 amx_tile",
    "AVX-512 BF16": "fpu avx512f avx512_bf16",
    None: "fpu avx512f avx512bw",
}


@pytest.fixture(params=FLAGS)
def instructions(request, tmp_path, monkeypatch):
    description = tmp_path / "cpuinfo"
    description.write_text(f"model name\t: X amx_bf16\nflags\t\t: {FLAGS[request.param]}\n")
    monkeypatch.setattr(precision, "CPU_DESCRIPTION", description)
    return request.param


def test_auto_rounds_where_the_cores_multiply_so(instructions):
    assert bfloat16_instructions() == instructions
    chosen, reason = settle_matmul_precision("auto", "cpu")
    assert chosen == ("bfloat16" if instructions else "float32")
    assert reason.endswith(f"have {instructions or 'neither AMX nor AVX-512 BF16'}.")


def test_auto_leaves_accelerators_as_they_are(instructions):
    assert settle_matmul_precision("auto", "gpu")[0] == "float32"


def test_system_without_a_description_of_its_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "CPU_DESCRIPTION", tmp_path / "missing")
    assert bfloat16_instructions() is None


@pytest.mark.parametrize("choice", ["float32", "bfloat16"])
def test_what_is_asked_for_is_taken(instructions, choice):
    assert settle_matmul_precision(choice, "cpu")[0] == choice


def test_a_run_says_and_keeps_what_auto_came_to(instructions, tmp_path, capsys):
    run = tmp_path / "run"
    task = small_task(matmul_precision="auto", num_devices=1, max_steps=1, run_dir=str(run))
    task.run()
    chosen = "bfloat16" if instructions else "float32"
    assert task.config.matmul_precision == chosen
    assert f"matmul_precision={chosen}: matmul_precision=auto" in capsys.readouterr().out
    assert f"matmul_precision: {chosen}" in (run / "config.yaml").read_text()
    model = task.get_model(task.environment)
    assert model.actor.matmul_precision == model.critic.matmul_precision == chosen


def test_a_run_with_rounded_networks_stays_near_that_with_exact_ones(tmp_path):
    rows = {}
    for choice in ("float32", "bfloat16"):
        run = tmp_path / choice
        small_task(matmul_precision=choice, num_devices=2, max_steps=3, run_dir=str(run)).run()
        rows[choice] = read_metrics(run)
    for exact, rounded in zip(rows["float32"], rows["bfloat16"], strict=True):
        assert rounded["loss/value"] == pytest.approx(exact["loss/value"], rel=0.02)
        assert rounded["loss/value"] != exact["loss/value"]


def test_unknown_precision():
    with pytest.raises(ksim.ConfigError, match="float32, bfloat16, auto"):
        parse_command_line(small_config(), ["matmul_precision=float16"])
