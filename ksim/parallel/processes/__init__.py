"""The processes of a run: they find each other, agree, decide together and end together."""

from ksim.parallel.processes.agreement import check_agreement, run_facts
from ksim.parallel.processes.group import ProcessGroup, SingleProcess
from ksim.parallel.processes.launcher import report_to_launcher
from ksim.parallel.processes.peer import Peer
from ksim.parallel.processes.runtime import (
    current_processes,
    failures_reported,
    start_processes,
)
from ksim.parallel.processes.wire import ProcessesError

__all__ = [
    "Peer",
    "ProcessGroup",
    "ProcessesError",
    "SingleProcess",
    "check_agreement",
    "current_processes",
    "failures_reported",
    "report_to_launcher",
    "run_facts",
    "start_processes",
]
