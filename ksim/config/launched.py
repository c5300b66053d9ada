"""Names the variables and the exit status that the launcher shares with the processes of a run.

They stand below both, because the launcher runs without JAX.
"""

ADDRESS_VARIABLE = "KSIM_COORDINATOR_ADDRESS"
"""Address at which process 0 listens, `host:port`."""

COUNT_VARIABLE = "KSIM_NUM_PROCESSES"
"""Number of processes."""

ID_VARIABLE = "KSIM_PROCESS_ID"
"""Number of this process, from 0."""

REPORT_VARIABLE = "KSIM_LAUNCH_REPORT_FD"
"""File descriptor on which a process reports its run directory and newest checkpoint."""

LOST_STATUS = 75
"""Exit status of a process that ends because another one is lost (EX_TEMPFAIL: try again)."""
