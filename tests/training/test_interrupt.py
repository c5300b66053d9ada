import os
import signal
import threading

import pytest

from ksim.training.interrupt import GracefulStop

NUMBERS = (signal.SIGINT, signal.SIGTERM)


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_is_a_request_and_one_line(number, capsys):
    with GracefulStop() as stop:
        assert stop.requested is None
        send(number)
        assert stop.requested == number.name
    assert capsys.readouterr().err == (
        "Stopping after this iteration; press Ctrl-C again to stop at once.\n"
    )


@pytest.mark.parametrize("first", NUMBERS)
def test_second_interrupt_stops_at_once(first):
    with pytest.raises(KeyboardInterrupt), GracefulStop(announce=lambda text: None) as stop:
        send(first)
        send(signal.SIGINT)
    assert stop.requested == first.name


def test_second_sigterm_changes_nothing():
    lines = []
    with GracefulStop(announce=lines.append) as stop:
        send(signal.SIGINT)
        send(signal.SIGTERM)
    assert stop.requested == "SIGINT"
    assert len(lines) == 1


@pytest.mark.parametrize("error", [RuntimeError("reentrant call"), BrokenPipeError(), ValueError()])
def test_a_line_that_cannot_be_shown_does_not_end_the_run(error):
    def fail(text):
        raise error

    with GracefulStop(announce=fail) as stop:
        send(signal.SIGTERM)
    assert stop.requested == "SIGTERM"


def test_handlers_are_restored_also_after_an_error():
    before = [signal.getsignal(number) for number in NUMBERS]
    with pytest.raises(KeyError), GracefulStop():
        assert [signal.getsignal(number) for number in NUMBERS] != before
        raise KeyError
    assert [signal.getsignal(number) for number in NUMBERS] == before


def test_other_threads_install_nothing():
    seen = []

    def work():
        with GracefulStop() as stop:
            seen.append((signal.getsignal(signal.SIGINT), stop.requested))

    thread = threading.Thread(target=work)
    before = signal.getsignal(signal.SIGINT)
    thread.start()
    thread.join()
    assert seen == [(before, None)]
