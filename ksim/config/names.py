"""Turns names of classes into names of options, terms and folders."""

import re


def snake_case(name: str) -> str:
    """Returns a class name in snake case, acronyms whole: `MyPPOTask` is `my_ppo_task`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
