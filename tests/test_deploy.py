"""What lies in deploy/ can be read by what it is for, and starts what exists."""

import ast
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from examples.walking_distributed import HumanoidWalkingDistributedConfig
from ksim.config import parse_command_line
from ksim.config.concerns import ProcessesConfig
from ksim.parallel.processes.cluster import find_place

DEPLOY = Path(__file__).parents[1] / "deploy"


def test_each_file_is_known_here():
    assert {path.name for path in DEPLOY.iterdir() if path.is_file()} == {
        "jobset.yaml",
        "ray_train.py",
        "slurm.sh",
    }


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_slurm_script(tmp_path):
    script = DEPLOY / "slurm.sh"
    subprocess.run(["bash", "-n", str(script)], check=True)
    # A srun that says what it was asked for, and fails the first time.
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/bash\necho "$@" >> calls\n[[ $(wc -l < calls) -gt 1 ]]\n')
    srun.chmod(0o755)
    subprocess.run(
        ["bash", str(script), "max_steps=5"],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_ID": "77"},
        check=True,
        capture_output=True,
    )
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 2
    assert calls[0] == calls[1]
    options = re.search(r"python -m examples.walking_distributed (.*)", calls[0])[1].split()
    config = parse_command_line(HumanoidWalkingDistributedConfig(), options)
    assert (config.run_dir, config.max_steps) == ("runs/walking_77", 5)


def test_the_jobset_manifest():
    (manifest,) = yaml.safe_load_all((DEPLOY / "jobset.yaml").read_text())
    name = manifest["metadata"]["name"]
    (replicated,) = manifest["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert job["completionMode"] == "Indexed"
    assert job["parallelism"] == job["completions"] == int(variables["KSIM_NUM_PROCESSES"])
    # The name that JobSet gives to the first pod.
    address = variables["KSIM_COORDINATOR_ADDRESS"]
    assert address.split(":")[0] == f"{name}-{replicated['name']}-0-0.{name}"
    config = parse_command_line(HumanoidWalkingDistributedConfig(), container["args"])
    pods = {"JOB_COMPLETION_INDEX": "1", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    given = {name: value for name, value in variables.items() if value is not None}
    place = find_place(config, given | pods)
    assert (place.num_processes, place.process_id) == (2, 1)
    assert importlib.util.find_spec(container["command"][-1]) is not None


def test_the_ray_entry():
    text = (DEPLOY / "ray_train.py").read_text()
    ast.parse(text)
    values = {
        "KSIM_COORDINATOR_ADDRESS": "10.0.0.1:5",
        "KSIM_NUM_PROCESSES": "2",
        "KSIM_PROCESS_ID": "1",
    }
    assert set(re.findall(r'os\.environ\["(KSIM_\w+)"\]', text)) == values.keys()
    assert find_place(ProcessesConfig(), values).process_id == 1
