"""Numbers that are left to the machine."""

AUTO_TEXT = "auto"


class Automatic(int):
    """The value of a whole-number option that was written `auto`.

    It takes the place of a number until the run settles it: the number then replaces it in the
    config, before anything reads it.
    """

    def __repr__(self) -> str:
        return AUTO_TEXT


AUTO = Automatic(0)
"""Value that an option declared with `has_auto` may have instead of a number: `num_envs=AUTO`."""
