"""The cart-pole, with a process that raises an exception when it is sent SIGUSR1."""

import signal

from examples.cartpole import CartPoleConfig, CartPoleTask


def break_on_purpose(number, frame):
    raise ArithmeticError("broken on purpose")


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, break_on_purpose)
    CartPoleTask.launch(CartPoleConfig())
