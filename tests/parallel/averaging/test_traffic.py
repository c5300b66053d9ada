"""Bytes that a device sends, by hand."""

import pytest

from ksim.parallel import Traffic


def test_an_average_over_a_ring():
    # 2 (4 - 1) / 4 * 1000 numbers of 4 bytes, on every update.
    assert Traffic((600, 400), 8).bytes_per_update(4) == 6000
    assert Traffic((600, 400), 8).bytes_per_update(1) == 0


def test_accumulated_gradients_travel_seldom():
    # 8 updates with a period of 3 synchronise on 3, 6 and 8.
    traffic = Traffic((600, 400), 8, period=3, mode="accumulate")
    assert traffic.num_synchronising == traffic.num_communicating == 3
    assert traffic.bytes_per_update(4) == 6000 * 3 / 8


def test_local_sgd_averages_parameters_and_optimizer_state_too():
    # Each synchronisation averages 1000 gradients, 1000 parameters and 2000 moments.
    found = Traffic((600, 400), 8, period=4, num_optimizer_numbers=2000).bytes_per_update(4)
    assert found == 2 * 4 * 6000 / 8


def test_from_which_period_local_sgd_sends_less():
    def sent(period):
        return Traffic((1000,), 60, period=period, num_optimizer_numbers=2000).bytes_per_update(4)

    # With Adam's two moments four numbers for each parameter, on every Nth update.
    shares = [sent(period) / sent(1) for period in (2, 3, 4, 5, 12)]
    assert shares == pytest.approx([2, 4 / 3, 1, 4 / 5, 1 / 3])


def test_compressed_gradients_travel_in_blocks_with_scales():
    # 2048 + 2048 numbers are 32 blocks, 8 for each of 4 devices: 1.5 * 4096 numbers of 1 + 4/128
    # bytes; and the last of 4 updates sends as much again.
    once = 1.5 * 4096 * (1 + 4 / 128)
    sizes = (2048, 2048)
    found = Traffic(sizes, 4, compression="int8").bytes_per_update(4)
    assert found == pytest.approx(once * 5 / 4)
    once = 1.5 * 4096 * (2 + 4 / 128)
    found = Traffic(sizes, 4, compression="float16").bytes_per_update(4)
    assert found == pytest.approx(once * 5 / 4)
    # 600 + 400 numbers fill 5 + 4 blocks, which are filled up to 3 for each device.
    found = Traffic((600, 400), 4, compression="int8").bytes_per_update(4)
    assert found == pytest.approx(1.5 * 12 * 128 * (1 + 4 / 128) * 5 / 4)


def test_groups_share_parameters():
    # 8 devices in 4 groups of 2, 8192 parameters of which 8000 are split. Within a group, on every
    # update: half of 8000 gathered and half scattered, 192 averaged: 2 * 1/2 * 8192 numbers.
    within = 8192 * 4
    # Between groups: 4000 of the shard and 192 whole ones, over 4 replicas.
    between = 1.5 * (4000 + 192) * 4
    traffic = Traffic((192,), 1, fsdp_devices=2, split_sizes=(8000,))
    assert traffic.bytes_per_update(8) == within + between


def test_devices_that_share_parameters_communicate_in_every_update():
    traffic = Traffic((192,), 8, period=4, fsdp_devices=2, split_sizes=(8000,))
    assert (traffic.num_synchronising, traffic.num_communicating) == (2, 8)


def test_bytes_fall_with_the_period_and_with_compression():
    def sent(**options):
        return Traffic((10**6,), 32, mode="accumulate", **options).bytes_per_update(8)

    by_period = [sent(period=period) for period in (1, 2, 4, 8)]
    assert by_period == [by_period[0] / period for period in (1, 2, 4, 8)]
    none, half, quarter = (sent(compression=kind) for kind in ("none", "float16", "int8"))
    assert 0.50 < half / none < 0.53
    assert 0.25 < quarter / none < 0.28
