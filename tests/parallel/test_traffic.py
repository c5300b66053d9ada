"""Bytes that a device sends, by hand."""

import pytest

from ksim.parallel import bytes_per_update


def test_an_average_over_a_ring():
    # 2 (4 - 1) / 4 * 1000 numbers of 4 bytes, on every update.
    assert bytes_per_update([600, 400], 4, num_updates=8) == 6000
    assert bytes_per_update([600, 400], 1, num_updates=8) == 0


def test_accumulated_gradients_travel_seldom():
    # 8 updates with a period of 3 synchronise on 3, 6 and 8.
    assert bytes_per_update([600, 400], 4, 8, period=3, mode="accumulate") == 6000 * 3 / 8


def test_local_sgd_averages_parameters_and_optimizer_state_too():
    # Each synchronisation averages 1000 gradients, 1000 parameters and 2000 moments.
    found = bytes_per_update([600, 400], 4, 8, period=4, num_optimizer_numbers=2000)
    assert found == 2 * 4 * 6000 / 8


def test_compressed_gradients_travel_in_blocks_with_scales():
    # 2048 + 2048 numbers are 32 blocks, 8 for each of 4 devices: 1.5 * 4096 numbers of 1 + 4/128
    # bytes; and the last of 4 updates sends as much again.
    once = 1.5 * 4096 * (1 + 4 / 128)
    sizes = [2048, 2048]
    assert bytes_per_update(sizes, 4, 4, compression="int8") == pytest.approx(once * 5 / 4)
    once = 1.5 * 4096 * (2 + 4 / 128)
    assert bytes_per_update(sizes, 4, 4, compression="float16") == pytest.approx(once * 5 / 4)
    # 600 + 400 numbers fill 5 + 4 blocks, which are filled up to 3 for each device.
    assert bytes_per_update([600, 400], 4, 4, compression="int8") == pytest.approx(
        1.5 * 12 * 128 * (1 + 4 / 128) * 5 / 4
    )


def test_groups_share_parameters():
    # 8 devices in 4 groups of 2, 8192 parameters of which 8000 are split. Within a group, on every
    # update: half of 8000 gathered and half scattered, 192 averaged: 2 * 1/2 * 8192 numbers.
    within = 8192 * 4
    # Between groups: 4000 of the shard and 192 whole ones, over 4 replicas.
    between = 1.5 * (4000 + 192) * 4
    found = bytes_per_update([192], 8, 1, fsdp_devices=2, split_sizes=[8000])
    assert found == within + between


def test_bytes_fall_with_the_period_and_with_compression():
    settings = {"sizes": [10**6], "num_devices": 8, "num_updates": 32, "mode": "accumulate"}
    by_period = [bytes_per_update(**settings, period=period) for period in (1, 2, 4, 8)]
    assert by_period == [by_period[0] / period for period in (1, 2, 4, 8)]
    none, half, quarter = (
        bytes_per_update(**settings, compression=kind) for kind in ("none", "float16", "int8")
    )
    assert 0.50 < half / none < 0.53
    assert 0.25 < quarter / none < 0.28
