"""Which number of environments is chosen of those that were measured."""

import pytest

from ksim.config import ConfigError
from ksim.preflight.number_of_environments import (
    SizeTried,
    bytes_per_environment,
    choose,
    first_size,
    is_worth_trying,
)

# On two devices. From 16 to 64 environments a device has 24 more, and takes 2400 bytes more.
SMALL, MIDDLE = SizeTried(16, 1000, 100.0), SizeTried(64, 3400, 390.0)
LARGE = SizeTried(256, 13_000, 420.0)


@pytest.mark.parametrize(
    ("num_devices", "num_batches", "is_cpu", "expected"),
    [
        (1, 4, True, 8),
        (2, 4, True, 16),
        (2, 3, True, 18),  # 3 batches of 3 on each device: 9 of them, 8 would not do
        (8, 4, False, 512),
        (1, 100, True, 100),
    ],
)
def test_the_first_size_splits_evenly(num_devices, num_batches, is_cpu, expected):
    size = first_size(num_devices, num_batches, is_cpu)
    assert size == expected
    assert size % (num_devices * num_batches) == 0


def test_bytes_per_environment_by_hand():
    assert bytes_per_environment([SMALL, MIDDLE], 2) == 100  # 2400 / 24


def test_sizes_grow_while_that_pays():
    assert is_worth_trying(64, [SMALL], 2, None)
    assert is_worth_trying(256, [SMALL, MIDDLE], 2, None)
    # 420 is less than 390 / 0.9 = 433.
    assert not is_worth_trying(1024, [SMALL, MIDDLE, LARGE], 2, None)


def test_sizes_grow_while_they_fit():
    # A device would have 96 more: 3400 + 9600 = 13000 bytes, and 0.8 of 16250 are as many.
    assert is_worth_trying(256, [SMALL, MIDDLE], 2, 16_250)
    assert not is_worth_trying(256, [SMALL, MIDDLE], 2, 16_200)


def test_the_smallest_that_is_nearly_the_fastest():
    chosen = choose([SMALL, MIDDLE, LARGE], None, 2)
    assert chosen.num_envs == 64  # 390 is more than 0.9 * 420 = 378
    assert chosen.reason == (
        "chosen by num_envs=auto. Tried: 16 environments: 100 steps/s, 1 kB on a device;"
        " 64 environments: 390 steps/s, 3.4 kB on a device;"
        " 256 environments: 420 steps/s, 13 kB on a device. One more takes 100 B on its device."
        " The smallest within 10% of the fastest that fits is taken."
    )


def test_what_does_not_fit_is_not_taken():
    too_large = SizeTried(256, 13_000, 0.0)
    chosen = choose([SMALL, MIDDLE, too_large], 10_000, 2)
    assert chosen.num_envs == 64
    assert "256 environments: not run, 13 kB on a device" in chosen.reason


def test_nothing_fits():
    with pytest.raises(ConfigError, match=r"num_envs=auto: 16 environments: .*Write a smaller"):
        choose([SizeTried(16, 1000, 0.0)], 500, 2)
