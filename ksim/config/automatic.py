"""A number that is left to the machine."""

AUTO_TEXT = "auto"


class Automatic(int):
    """The value of a whole-number option that was written `auto`.

    It stands where a number will stand: whoever fills it in replaces it in the config, before
    anything reads it as a number.
    """

    def __repr__(self) -> str:
        return AUTO_TEXT


AUTO = Automatic(0)
"""What an option declared with `has_auto` may hold instead of a number: `num_envs=AUTO`."""
