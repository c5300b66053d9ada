"""The value of a whole-number option that is left to the machine."""

from typing import Any, NoReturn

AUTO_TEXT = "auto"


class Automatic:
    """The value of a whole-number option that was written `auto`.

    It takes the place of a number until the run settles it, and is no number itself: whatever would
    calculate with it, compare or round it, is an error.
    """

    def __repr__(self) -> str:
        return AUTO_TEXT

    def __reduce__(self) -> str:
        return "AUTO"  # copies and pickles are the same object

    def _is_no_number(self, *_: Any) -> NoReturn:
        raise TypeError(
            "An option is auto, which is no number yet: it becomes one when the task is built. Call"
            " task.build() and read task.config then, or write a number for the option."
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _is_no_number
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = _is_no_number
    __mod__ = __rmod__ = __divmod__ = __rdivmod__ = __pow__ = __rpow__ = _is_no_number
    __lt__ = __le__ = __gt__ = __ge__ = _is_no_number
    __neg__ = __pos__ = __abs__ = __int__ = __float__ = __index__ = __round__ = _is_no_number
    __bool__ = _is_no_number


AUTO: Any = Automatic()
"""Value that an option declared with `has_auto` may have instead of a number: `num_envs=AUTO`."""
