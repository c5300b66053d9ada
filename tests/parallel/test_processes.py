"""Processes meet, decide together, and miss those who go; here every one is a thread."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ksim.config import ConfigError
from ksim.parallel.processes import ProcessesError, SingleProcess, check_agreement, run_facts
from ksim.parallel.processes.hub import Hub, listen
from ksim.parallel.processes.member import connect
from tests.small_cartpole import small_config, small_task

HOST = "127.0.0.1"


@pytest.fixture
def meet():
    """Makes meetings, and ends them after the test."""
    meetings = []

    def make(**arguments):
        meetings.append(Meeting(**arguments))
        return meetings[-1]

    yield make
    for meeting in meetings:
        meeting.close()


class Meeting:
    """A hub and its members."""

    def __init__(self, count=3, startup=20.0, heartbeat=5.0, exchange=20.0):
        self.listening = listen(HOST, 0)
        self.port = self.listening.getsockname()[1]
        self.count, self.startup = count, startup
        self.heartbeat, self.exchange = heartbeat, exchange
        self.members = []
        self.losses = {}
        self.hub = Hub(self.listening, count, startup, heartbeat)

    def connect(self, index, count=None):
        return connect(
            HOST,
            self.port,
            index,
            count or self.count,
            self.startup,
            self.heartbeat,
            self.exchange,
            lambda message: self.losses.setdefault(index, message),
        )

    def connect_all(self):
        with ThreadPoolExecutor(self.count) as pool:
            self.members = list(pool.map(self.connect, range(self.count)))
        return self.members

    def close(self):
        for member in self.members:
            member.close()
        self.hub.close()

    def await_losses(self, indices):
        deadline = time.monotonic() + 20
        while set(self.losses) != set(indices):
            assert time.monotonic() < deadline, self.losses
            time.sleep(0.01)
        return self.losses


def together(members, function):
    with ThreadPoolExecutor(len(members)) as pool:
        return list(pool.map(function, members))


def test_every_process_gets_the_values_of_all(meet):
    members = meet().connect_all()
    assert [m.index for m in members] == [0, 1, 2]
    assert [m.is_main for m in members] == [True, False, False]
    for step in range(3):
        results = together(members, lambda m, step=step: m.exchange("step", [step, m.index]))
        assert results == [[[step, 0], [step, 1], [step, 2]]] * 3
    assert together(members, lambda m: m.from_main("name", f"from {m.index}")) == ["from 0"] * 3
    assert members[1].peers_on_my_host == members[1].peers
    assert members[1].own_host == HOST


def test_one_that_comes_late_finds_the_others(meet):
    meeting = meet(count=2, heartbeat=1.0)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(meeting.connect, 0)
        time.sleep(1.5)  # longer than one may be silent in a run
        meeting.members = [meeting.connect(1), first.result()]
    assert together(meeting.members, lambda m: m.exchange("step", m.index)) == [[0, 1]] * 2
    assert not meeting.losses


def test_a_single_process_agrees_with_itself():
    alone = SingleProcess()
    assert (alone.index, alone.count, alone.is_main) == (0, 1, True)
    assert alone.exchange("anything", 7) == [7]
    assert alone.from_main("anything", 7) == 7


def test_one_whose_connection_closes_is_named_to_all_others(meet):
    meeting = meet()
    members = meeting.connect_all()
    members[1]._wire.socket.shutdown(socket.SHUT_RDWR)
    losses = meeting.await_losses({0, 1, 2})
    for index in (0, 2):
        assert losses[index].startswith(f"Process 1 ({members[1].peers[1].host}, pid ")
        assert "is gone: the connection is closed" in losses[index]
    with pytest.raises(ProcessesError, match="Process 1"):
        members[2].exchange("later", None)


def test_one_that_is_silent_is_named(monkeypatch, meet):
    meeting = meet(heartbeat=1.0)
    members = meeting.connect_all()
    monkeypatch.setattr(members[2]._wire, "send", lambda message: None)
    losses = meeting.await_losses({0, 1, 2})
    assert "Process 2 " in losses[0] and "has been silent for 1 s" in losses[0]


def test_a_hub_that_is_silent_is_process_0(monkeypatch, meet):
    meeting = meet(heartbeat=1.0)
    monkeypatch.setattr(meeting.hub, "_tell_all", lambda message: None)
    listening_only = socket.create_connection((HOST, meeting.port))
    with pytest.raises(ProcessesError, match="it does not answer"):
        meeting.startup = 0.5
        meeting.connect(0)
    listening_only.close()


def test_a_failure_is_told_with_its_reason_and_who_was_behind(meet):
    meeting = meet()
    members = meeting.connect_all()
    for member in members[:2]:
        member.mark("the update of iteration 3")
    together(members[:2], lambda m: None)
    members[0].fail(ArithmeticError("no number\nsecond line"))
    losses = meeting.await_losses({1, 2})  # the one that fails reports its own exception
    assert "Process 0 " in losses[1]
    assert "failed: ArithmeticError: no number; process 2 " in losses[1]
    assert "still stood at the start" in losses[1]
    assert "process 1" not in losses[2]


@pytest.mark.parametrize(
    "error, is_because_of_loss",
    [
        # As JAX raises them of a broken connection, by a compiled program and by one just compiled.
        (type("JaxRuntimeError", (RuntimeError,), {})("INTERNAL: Gloo AllReduce failed"), True),
        (ValueError("UNKNOWN: Gloo AllGather failed: Connection closed by peer"), True),
        (ValueError("unknown: a term of the user's"), False),
    ],
)
def test_an_error_that_a_lost_process_causes_is_told_as_the_loss(meet, error, is_because_of_loss):
    meeting = meet()
    members = meeting.connect_all()
    with ThreadPoolExecutor(1) as pool:
        failing = pool.submit(members[2].fail, error)
        time.sleep(0.1)  # the error comes first
        members[1]._wire.socket.shutdown(socket.SHUT_RDWR)
        failing.result()
    assert (2 in meeting.losses) == is_because_of_loss


def test_one_that_lives_but_does_not_come_is_named(meet):
    meeting = meet(exchange=0.5, heartbeat=2.0)
    members = meeting.connect_all()
    members[2].mark("the update of iteration 9")

    def exchange(member):
        with pytest.raises(ProcessesError, match=r"Process 2 .* lives but does not go on"):
            member.exchange("the end of iteration 9", None)

    together(members[:2], exchange)
    assert "it stands at the update of iteration 9" in meeting.await_losses({0, 1, 2})[0]


def test_one_that_has_ended_is_not_waited_for(meet):
    meeting = meet(heartbeat=2.0)
    members = meeting.connect_all()
    members[1].leave()
    with pytest.raises(ProcessesError, match=r"Process 1 .* has ended, and the others wait at 'x'"):
        members[0].exchange("x", None)


def test_processes_that_come_to_different_places_are_stopped(meet):
    meeting = meet(count=2)
    members = meeting.connect_all()

    def exchange(member):
        with pytest.raises(ProcessesError, match=r"came to '[ab]' while others came to '[ab]'"):
            member.exchange("ab"[member.index], None)

    together(members, exchange)


def test_those_who_never_came_are_named(meet):
    meeting = meet(startup=1.0, heartbeat=2.0)
    with pytest.raises(ProcessesError) as caught:
        meeting.connect(1)
    assert "Waited 1 s for all 3 processes; process(es) 0, 2 did not come" in str(caught.value)


def test_nobody_listens():
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        port = unused.getsockname()[1]
    with pytest.raises(ProcessesError, match=f"could not reach process 0 at {HOST}, port {port}"):
        connect(HOST, port, 1, 2, 0.3, 2.0, 2.0, print)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"index": 1, "count": 4}, "has num_processes=4, but process 0 has num_processes=3"),
        ({"index": 0, "count": 3}, "has the same process_id=0 as the process with pid"),
    ],
)
def test_contradictions_end_the_start_of_all(second, message, meet):
    meeting = meet()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(meeting.connect, 0)
        while not meeting.hub._members:
            time.sleep(0.01)
        other = pool.submit(meeting.connect, **second)
        for future in (first, other):
            with pytest.raises(ConfigError, match=message):
                future.result()


def test_strangers_are_no_processes(meet):
    meeting = meet(count=2)
    for greeting in (b"GET / HTTP/1.0\r\n\r\n", b'{"hello": 1}\n', b"[1]\n", b"\xff\xfe\n"):
        with socket.create_connection((HOST, meeting.port)) as stranger:
            stranger.sendall(greeting)
            assert stranger.recv(100) == b""  # the hub hangs up
    members = meeting.connect_all()
    assert together(members, lambda m: m.exchange("x", 1)) == [[1, 1]] * 2


def test_an_address_that_is_not_of_this_machine():
    with pytest.raises(ConfigError, match=r"write coordinator_bind_address="):
        listen("203.0.113.7", 5000)
    taken = listen(HOST, 0)
    # Not a wrong option, which nobody would try again: the port may be free in the next moment.
    with pytest.raises(ProcessesError, match="a free port"):
        listen(HOST, taken.getsockname()[1])
    taken.close()


def test_only_the_address_given_is_bound():
    listening = listen("127.0.0.2", 0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, listening.getsockname()[1]), timeout=2)
    listening.close()


def test_facts_that_differ_are_shown_with_their_holders(meet):
    members = meet().connect_all()
    steps = {0: "4", 1: "4", 2: "6"}

    def check(member):
        with pytest.raises(ConfigError) as caught:
            check_agreement(member, {"step": steps[member.index], "seed": "0"})
        return str(caught.value)

    messages = together(members, check)
    assert len(set(messages)) == 1
    assert "step: 4 in processes 0, 1; 6 in process 2" in messages[0]
    assert "seed" not in messages[0]
    together(members, lambda m: check_agreement(m, {"step": "4"}))


def test_the_facts_of_a_run():
    task = small_task(num_devices=2)
    facts = run_facts(task.config, (type(task),))
    assert json.loads(json.dumps(facts)) == facts
    assert facts["option num_envs"] == "16"
    assert facts["code of cartpole.py"] and facts["code of ksim"]
    assert "option process_id" not in facts
    others = run_facts(small_config(seed=3, process_id=1), ())
    assert others["option seed"] == "3"
    assert others["code of ksim"] == facts["code of ksim"]


def test_changed_code_is_another_fact(tmp_path, monkeypatch):
    source = tmp_path / "changing_module.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    source.write_text("class Thing:\n    pass\n")
    import changing_module

    before = run_facts(small_config(), (changing_module.Thing,))["code of changing_module.py"]
    source.write_text("class Thing:\n    value = 1\n")
    assert (
        run_facts(small_config(), (changing_module.Thing,))["code of changing_module.py"] != before
    )


def test_a_thread_is_enough(meet):
    """The hub and the watch never hold up the process that they are part of."""
    before = {thread for thread in threading.enumerate() if not thread.daemon}
    meet().connect_all()
    assert {thread for thread in threading.enumerate() if not thread.daemon} == before
