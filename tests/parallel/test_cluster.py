"""Which process this is: said in full, or an error."""

import pytest

from ksim.config import ConfigError
from ksim.config.concerns import ProcessesConfig
from ksim.parallel.processes.cluster import find_place

SLURM = {
    "SLURM_JOB_ID": "4242",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_STEP_NODELIST": "node[007-008,012]",
}
OPEN_MPI = {
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "1",
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911",
}
KSIM = {
    "KSIM_COORDINATOR_ADDRESS": "127.0.0.1:5000",
    "KSIM_NUM_PROCESSES": "2",
    "KSIM_PROCESS_ID": "1",
}


def place(environment=None, **options):
    config = ProcessesConfig(**options)
    config.validate()
    return find_place(config, environment or {})


def summary(found):
    return found.coordinator_address, found.num_processes, found.process_id


def test_alone_by_default():
    assert place() is None
    assert place(num_processes=1) is None
    assert place({"HOME": "/", "JOB_COMPLETION_INDEX": "3"}) is None


def test_options_say_all():
    found = place(coordinator_address="10.0.0.1:1234", num_processes=3, process_id=2)
    assert summary(found) == ("10.0.0.1:1234", 3, 2)
    assert place(coordinator_address="10.0.0.1:1234", num_processes=1, process_id=0) is None


def test_the_launchers_variables():
    assert summary(place(KSIM)) == ("127.0.0.1:5000", 2, 1)


def test_the_index_of_a_pod_is_the_number_of_its_process():
    variables = {name: value for name, value in KSIM.items() if name != "KSIM_PROCESS_ID"}
    assert summary(place(variables | {"JOB_COMPLETION_INDEX": "0"}))[2] == 0


def test_open_mpi_on_two_hosts():
    address, count, index = summary(place(OPEN_MPI))
    assert address.startswith("10.96.0.1:")
    assert 61440 <= int(address.split(":")[1]) < 65536
    assert (count, index) == (2, 1)
    same = place(OPEN_MPI | {"OMPI_COMM_WORLD_RANK": "0"})
    other = place(OPEN_MPI | {"OMPI_MCA_orte_hnp_uri": "99.0;tcp://10.96.0.1:34911"})
    assert same.coordinator_address == address != other.coordinator_address


def test_open_mpi_on_one_host_stays_on_it():
    found = place(OPEN_MPI | {"OMPI_COMM_WORLD_LOCAL_SIZE": "2"})
    assert found.coordinator_address.startswith("127.0.0.1:")
    five = {name: value for name, value in OPEN_MPI.items() if "hnp" not in name}
    five |= {"PMIX_NAMESPACE": "prterun-host-7@1"}
    found = place(five | {"OMPI_COMM_WORLD_LOCAL_SIZE": "2"})
    assert found.coordinator_address.startswith("127.0.0.1:")
    with pytest.raises(ConfigError, match="Write coordinator_address=<host of rank 0>:1234"):
        place(five)
    assert summary(place(five, coordinator_address="h:1")) == ("h:1", 2, 1)


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("node[007-008,012]", "node007"),
        ("node7,node9", "node7"),
        ("login1,node[1-2]", "login1"),
        ("rack[1,3-4]-gpu,login1", "rack1-gpu"),
        ("node7", "127.0.0.1"),
        ("node[7]", "127.0.0.1"),
    ],
)
def test_slurm(nodes, host):
    address, count, index = summary(place(SLURM | {"SLURM_STEP_NODELIST": nodes}))
    assert address.rpartition(":")[0] == host
    assert (count, index) == (4, 3)


def test_steps_of_a_slurm_job_have_ports_of_their_own():
    one, two = (place(SLURM | {"SLURM_STEP_ID": step}) for step in "01")
    assert one.coordinator_address != two.coordinator_address


def test_a_slurm_allocation_without_srun_or_with_one_task_is_one_process():
    batch_script = {n: v for n, v in SLURM.items() if "STEP" not in n} | {"SLURM_NTASKS": "4"}
    assert place(batch_script) is None
    assert place(SLURM | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}) is None


def test_the_innermost_launcher_counts():
    assert place(SLURM | OPEN_MPI).source == "Open MPI"
    assert place(SLURM | OPEN_MPI | KSIM).coordinator_address == "127.0.0.1:5000"
    # A launcher with one process inside a job of several tasks: no other one is joined.
    alone = KSIM | {"KSIM_NUM_PROCESSES": "1", "KSIM_PROCESS_ID": "0"}
    assert place(SLURM | alone) is None


@pytest.mark.parametrize("variables", [SLURM, OPEN_MPI, KSIM], ids=["Slurm", "Open MPI", "ksim"])
def test_options_agree_with_what_is_detected(variables):
    found = place(variables)
    given = {"num_processes": found.num_processes, "process_id": found.process_id}
    assert place(variables, **given) == found
    with pytest.raises(ConfigError, match=r"num_processes=7, but .* says"):
        place(variables, num_processes=7)
    with pytest.raises(ConfigError, match=r"num_processes=1, but .* says"):
        place(variables, num_processes=1)
    with pytest.raises(ConfigError, match=r"process_id=0, but .* says"):
        place(variables, process_id=0)


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        (SLURM, "SLURM_STEP_NODELIST"),
        (SLURM, "SLURM_STEP_NUM_TASKS"),
        (OPEN_MPI, "OMPI_COMM_WORLD_SIZE"),
        (OPEN_MPI, "OMPI_COMM_WORLD_LOCAL_SIZE"),
        (KSIM, "KSIM_COORDINATOR_ADDRESS"),
        (KSIM, "KSIM_PROCESS_ID"),
    ],
)
def test_half_of_the_variables_is_an_error(variables, missing):
    rest = {name: value for name, value in variables.items() if name != missing}
    with pytest.raises(ConfigError, match=f"{missing} is not set"):
        place(rest)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (SLURM | {"SLURM_PROCID": "4"}, "numbered from 0 to 3"),
        (KSIM | {"KSIM_NUM_PROCESSES": "two"}, "KSIM_NUM_PROCESSES=two: expected a whole number"),
        (KSIM | {"KSIM_COORDINATOR_ADDRESS": "host"}, "KSIM_COORDINATOR_ADDRESS=host: expected"),
    ],
)
def test_values_that_cannot_be(variables, message):
    with pytest.raises(ConfigError, match=message):
        place(variables)


def test_half_of_the_options_is_an_error():
    with pytest.raises(ConfigError) as caught:
        place(num_processes=2, process_id=0)
    assert "num_processes and process_id given, but coordinator_address not" in str(caught.value)
    assert "Write, in process 0 of 2: coordinator_address=" in str(caught.value)


@pytest.mark.parametrize("address", ["host", "host:", ":1", "host:port", "host:0", "host:65536"])
def test_an_address_is_host_and_port(address):
    with pytest.raises(ConfigError, match="expected host:port"):
        place(coordinator_address=address, num_processes=2, process_id=0)


def test_a_number_beyond_the_count():
    with pytest.raises(ConfigError, match="process_id=2, but with num_processes=2 the processes"):
        place(coordinator_address="h:1", num_processes=2, process_id=2)
