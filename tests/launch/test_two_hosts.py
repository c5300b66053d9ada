"""Two machines, played by two network namespaces: each has its own interfaces and loopback."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.launch.launching import shell_variables
from tests.small_cartpole import SMALL_ARGUMENTS, read_metrics, small_task, without_times

FIRST, SECOND = "10.77.0.1", "10.77.0.2"
NUM_ITERATIONS = 5

pytestmark = pytest.mark.slow


def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=False)


@pytest.fixture
def hosts():
    """Two namespaces with a cable between them."""
    names = ("ksim_test_a", "ksim_test_b")
    if ip("netns", "add", names[0]).returncode:
        pytest.skip("network namespaces cannot be made here (they need root and iproute2)")
    try:
        ip("netns", "add", names[1])
        made = ip(
            *("link", "add", "ksim0", "netns", names[0], "type", "veth"),
            *("peer", "name", "ksim0", "netns", names[1]),
        )
        if made.returncode:
            pytest.skip(f"no virtual cable: {made.stderr}")
        for name, address in zip(names, (FIRST, SECOND), strict=True):
            for words in (
                ("addr", "add", f"{address}/24", "dev", "ksim0"),
                ("link", "set", "ksim0", "up"),
                ("link", "set", "lo", "up"),
            ):
                assert ip("-n", name, *words).returncode == 0
        yield names
    finally:
        for name in names:
            ip("netns", "del", name)


def run_on(hosts, variables, folder, arguments_of):
    command = [sys.executable, "-m", "examples.cartpole", *SMALL_ARGUMENTS]
    processes = [
        subprocess.Popen(
            ["ip", "netns", "exec", host, *command, *arguments],
            cwd=folder,
            env=variables | own,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for host, (arguments, own) in zip(hosts, arguments_of, strict=True)
    ]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    return outputs, [process.returncode for process in processes]


def slurm(index):
    return {
        "SLURM_JOB_ID": "5",
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_PROCID": str(index),
        "SLURM_STEP_NODELIST": f"{FIRST},{SECOND}",
    }


def explicit(index):
    return [f"coordinator_address={FIRST}:4321", "num_processes=2", f"process_id={index}"]


def run_by_mpirun(hosts, variables, folder, steps):
    """Open MPI reaches the second host by a program of ours, where it would take ssh."""
    mpirun = shutil.which("mpirun") or pytest.skip("needs Open MPI's mpirun")
    agent = folder / "agent.sh"
    agent.write_text(f'#!/bin/bash\nshift\nexec ip netns exec {hosts[1]} bash -c "$*"\n')
    agent.chmod(0o755)
    passed = ("PYTHONPATH", "PATH", "XDG_CACHE_HOME", "LD_LIBRARY_PATH", "OPAL_PREFIX")
    run = subprocess.run(
        [
            *("ip", "netns", "exec", hosts[0], mpirun, "--allow-run-as-root"),
            *("--mca", "plm_rsh_agent", str(agent), "--mca", "oob_tcp_if_include", "ksim0"),
            *("--host", f"{FIRST},{SECOND}", "-n", "2"),
            *(word for name in passed if name in variables for word in ("-x", name)),
            *(sys.executable, "-m", "examples.cartpole", *SMALL_ARGUMENTS, *steps),
        ],
        cwd=folder,
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
        check=False,
    )
    return [run.stdout], [run.returncode] * 2


@pytest.mark.parametrize("way", ["address", "Slurm", "mpirun"])
def test_two_hosts_train_as_one(way, hosts, tmp_path):
    variables = shell_variables(tmp_path / "cache")
    steps = [f"max_steps={NUM_ITERATIONS}"]
    if way == "mpirun":
        outputs, statuses = run_by_mpirun(hosts, variables, tmp_path, steps)
    else:
        asked = {
            "address": [([*steps, *explicit(index)], {}) for index in (0, 1)],
            "Slurm": [(steps, slurm(index)) for index in (0, 1)],
        }
        outputs, statuses = run_on(hosts, variables, tmp_path, asked[way])
    assert statuses == [0, 0], outputs
    (run_dir,) = (tmp_path / "runs" / "cart_pole").iterdir()
    expected = tmp_path / "single"
    small_task(num_devices=1, run_dir=str(expected), max_steps=NUM_ITERATIONS).run()
    lines = read_metrics(run_dir)
    assert len(lines) == NUM_ITERATIONS
    for line, other in zip(lines, read_metrics(expected), strict=True):
        for name in without_times(other):
            np.testing.assert_allclose(line[name], other[name], rtol=1e-4, atol=2e-6)
