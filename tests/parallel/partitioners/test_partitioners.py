"""One contract for every partitioner and device count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from ksim.config import ConfigError
from ksim.parallel import Placement, Pmap, ShardMap, SingleDevice, environment_keys
from ksim.xla.key_data import is_key

REPLICATED, SHARDED = Placement.REPLICATED, Placement.SHARDED
NUM_ENVS = 8


LAYOUTS = ["SingleDevice", "Pmap1", "Pmap2", "Pmap4", "Pmap8"]
LAYOUTS += ["ShardMap1", "ShardMap2", "ShardMap4x2", "ShardMap8", "ShardMap8x4"]


def make_partitioner(layout, axis_name):
    """`ShardMap8x4` is 8 devices of which each 4 share large parameters."""
    kind = layout.rstrip("0123456789x")
    num_devices, _, fsdp_devices = layout.removeprefix(kind).partition("x")
    devices = jax.local_devices()[: int(num_devices or 1)]
    if kind == "SingleDevice":
        return SingleDevice(devices[0], axis_name)
    if kind == "Pmap":
        return Pmap(devices, axis_name)
    return ShardMap(devices, axis_name, int(fsdp_devices or 1))


@pytest.fixture(params=LAYOUTS, scope="module")
def layout(request):
    return request.param


@pytest.fixture(scope="module")
def partitioner(layout):
    return make_partitioner(layout, "device")


def make_tree():
    """Leaves `[NUM_ENVS, ...]` of every kind that a run holds."""
    key = jax.random.key(1)
    return {
        "floats": jnp.arange(NUM_ENVS * 3.0).reshape(NUM_ENVS, 3) / 7,
        "halves": jnp.arange(NUM_ENVS, dtype=jnp.bfloat16),
        "ints": jnp.arange(NUM_ENVS, dtype=jnp.int32) - 3,
        "words": jnp.arange(NUM_ENVS, dtype=jnp.uint32) + np.uint32(2**31),
        "flags": jnp.arange(NUM_ENVS) % 3 == 0,
        "keys": jax.random.split(key, NUM_ENVS),
        "many_keys": jax.random.split(key, (NUM_ENVS, 2)),
        "numpy": np.arange(NUM_ENVS, dtype=np.float32),
        "nothing": (),
        "empty": jnp.zeros((NUM_ENVS, 0)),
        "nested": [{"infinite": jnp.full(NUM_ENVS, -jnp.inf)}],
    }


def assert_same(actual, expected):
    """Same structure, dtypes, shapes and bits, and all of it on the host."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert x.dtype == y.dtype
        assert x.shape == y.shape
        if is_key(y):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        else:
            assert isinstance(x, np.ndarray)
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def test_devices(partitioner):
    assert partitioner.devices == tuple(jax.local_devices()[: partitioner.num_devices])
    is_grid = isinstance(partitioner, ShardMap)
    assert partitioner.axis_name == (("device", "fsdp") if is_grid else "device")


def test_replicated_state_comes_back(partitioner):
    tree = make_tree() | {"scalar": jnp.float32(3), "key": jax.random.key(4)}
    assert_same(partitioner.unreplicate_state(partitioner.replicate_state(tree)), tree)


def test_sharded_environments_come_back_in_order(partitioner):
    tree = make_tree()
    assert_same(partitioner.gather_environments(partitioner.shard_environments(tree)), tree)


def test_arguments_lie_on_all_devices(partitioner):
    tree = make_tree()
    for placed in (partitioner.replicate_state(tree), partitioner.shard_environments(tree)):
        for leaf in jax.tree.leaves(placed):
            assert leaf.devices() == set(partitioner.devices)


def test_shapes_are_those_of_what_is_placed(partitioner):
    tree = make_tree()
    shapes = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, tree))
    for placement, place in (
        (REPLICATED, partitioner.replicate_state),
        (SHARDED, partitioner.shard_environments),
    ):
        expected = place(tree)
        found = partitioner.placed_shapes(shapes, placement)
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        for shape, leaf in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            assert (shape.shape, shape.dtype) == (leaf.shape, leaf.dtype)
            assert shape.sharding.is_equivalent_to(leaf.sharding, leaf.ndim)


def test_what_is_compiled_for_shapes_takes_what_is_placed(partitioner):
    tree = make_tree()
    shapes = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, tree))

    def program(state, environments):
        return jax.random.fold_in(state["keys"][0], 1), environments["keys"], environments["floats"]

    run = partitioner.partition(
        program, (REPLICATED, SHARDED), (REPLICATED, SHARDED, SHARDED), (1,)
    )
    compiled = run.lower(
        partitioner.placed_shapes(shapes, REPLICATED), partitioner.placed_shapes(shapes, SHARDED)
    ).compile()
    key, *environments = compiled(
        partitioner.replicate_state(tree), partitioner.shard_environments(tree)
    )
    assert_same(partitioner.unreplicate_state(key), jax.random.fold_in(tree["keys"][0], 1))
    assert_same(
        partitioner.gather_environments(environments), [tree["keys"], np.asarray(tree["floats"])]
    )


def test_each_device_gets_consecutive_environments(partitioner):
    def program(env_id):
        device = lax.axis_index(partitioner.axis_name)
        return jnp.full_like(env_id, device), jnp.full_like(env_id, env_id.shape[0]), 10 * env_id

    run = partitioner.partition(program, inputs=(SHARDED,), outputs=(SHARDED,) * 3)
    env_id = jnp.arange(NUM_ENVS, dtype=jnp.int32)
    results = run(partitioner.shard_environments(env_id))
    device, num_local, tens = partitioner.gather_environments(results)
    per_device = NUM_ENVS // partitioner.num_devices
    assert device.tolist() == [i // per_device for i in range(NUM_ENVS)]
    assert num_local.tolist() == [per_device] * NUM_ENVS
    assert tens.tolist() == [10 * i for i in range(NUM_ENVS)]


def test_steps_come_back_side_by_side(partitioner):
    num_steps = 3

    def program(env_id, keys):
        steps = 100 * jnp.arange(num_steps)
        numbers = steps[:, None] + env_id[None, :]
        some_keys = jnp.stack([keys] * num_steps)
        return {"number": numbers, "pair": jnp.stack([numbers, -numbers], -1), "keys": some_keys}

    run = partitioner.partition(program, inputs=(SHARDED, SHARDED), outputs=SHARDED)
    keys = jax.random.split(jax.random.key(0), NUM_ENVS)
    inputs = partitioner.shard_environments((jnp.arange(NUM_ENVS, dtype=jnp.int32), keys))
    steps = partitioner.gather_steps(run(*inputs))
    expected = np.array(
        [[100 * t + i for i in range(NUM_ENVS)] for t in range(num_steps)], np.int32
    )
    assert_same(
        steps,
        {
            "number": expected,
            "pair": np.stack([expected, -expected], -1),
            "keys": jnp.stack([keys] * num_steps),
        },
    )


def test_keys_of_environments_do_not_depend_on_the_device_count(partitioner):
    run = partitioner.partition(
        lambda key, env_id: jax.vmap(jax.random.uniform)(environment_keys(key, env_id)),
        inputs=(REPLICATED, SHARDED),
        outputs=SHARDED,
    )
    key, env_id = jax.random.key(3), jnp.arange(NUM_ENVS, dtype=jnp.int32)
    placed = partitioner.replicate_state(key), partitioner.shard_environments(env_id)
    expected = [jax.random.uniform(jax.random.fold_in(key, i)) for i in range(NUM_ENVS)]
    np.testing.assert_array_equal(partitioner.gather_environments(run(*placed)), expected)


def test_collectives_run_over_all_devices(partitioner):
    def program(weight, x):
        gradient = jax.grad(lambda weight: jnp.mean(weight * x))(weight)
        return weight - lax.pmean(gradient, partitioner.axis_name)

    run = partitioner.partition(program, inputs=(REPLICATED, SHARDED), outputs=REPLICATED)
    x = jnp.arange(NUM_ENVS, dtype=jnp.float32)
    weight = partitioner.replicate_state(jnp.float32(10))
    weight = run(weight, partitioner.shard_environments(x))
    # The gradient is the mean of 0 ... 7, which is 3.5: the mean, not the sum, over devices.
    assert partitioner.unreplicate_state(weight) == 6.5
    for shard in weight.addressable_shards:
        assert np.asarray(shard.data).ravel().tolist() == [6.5]


def test_axis_has_the_name_that_was_asked_for(layout):
    named = make_partitioner(layout, "robots")
    run = named.partition(lambda x: lax.psum(x, "robots"), (REPLICATED,), REPLICATED)
    total = named.unreplicate_state(run(named.replicate_state(jnp.float32(1))))
    assert total == named.num_devices // named.group_size


def test_inputs_survive_donation(partitioner):
    tree = {"x": jnp.arange(NUM_ENVS, dtype=jnp.float32), "key": jax.random.key(0)}
    sharded_tree = {"y": jnp.ones((NUM_ENVS, 2)), "n": np.arange(NUM_ENVS)}
    expected = partitioner.unreplicate_state(partitioner.replicate_state((tree, sharded_tree)))

    def program(state, environments):
        state = state | {"x": state["x"] + 1, "key": jax.random.fold_in(state["key"], 1)}
        return state, jax.tree.map(lambda leaf: leaf * 2, environments)

    run = partitioner.partition(program, (REPLICATED, SHARDED), (REPLICATED, SHARDED), (0, 1))
    state = partitioner.replicate_state(tree)
    environments = partitioner.shard_environments(sharded_tree)
    on_host = partitioner.unreplicate_state(state)
    kept = partitioner.gather_environments(environments)
    new_state, new_environments = run(state, environments)

    assert state["x"].is_deleted()
    assert environments["y"].is_deleted()
    assert_same(on_host, expected[0])
    assert_same(kept, expected[1])
    assert_same(partitioner.unreplicate_state(partitioner.replicate_state(tree)), expected[0])
    np.testing.assert_array_equal(partitioner.unreplicate_state(new_state)["x"], tree["x"] + 1)
    np.testing.assert_array_equal(
        partitioner.gather_environments(new_environments)["y"], 2 * np.ones((NUM_ENVS, 2))
    )


def test_results_go_back_in_without_another_compilation(partitioner):
    num_traces = 0

    def program(state, environments):
        nonlocal num_traces
        num_traces += 1
        total = lax.psum(jnp.sum(environments["x"]), partitioner.axis_name)
        state = {"sum": state["sum"] + total, "key": jax.random.split(state["key"])[0]}
        return state, {"x": environments["x"] + 1}

    run = partitioner.partition(program, (REPLICATED, SHARDED), (REPLICATED, SHARDED), (0, 1))

    def start():
        state = {"sum": jnp.float32(0), "key": jax.random.key(0)}
        environments = {"x": jnp.zeros(NUM_ENVS)}
        return partitioner.replicate_state(state), partitioner.shard_environments(environments)

    results = start()
    compiled = run.lower(*results).compile()  # which takes no other shapes and shardings
    for _ in range(3):
        results = compiled(*results)
    # 8 zeros, 8 ones, 8 twos: 0 + 8 + 16.
    assert partitioner.unreplicate_state(results[0])["sum"] == 24
    ahead_of_time = num_traces

    results = start()
    for _ in range(3):
        results = run(*results)
    assert partitioner.unreplicate_state(results[0])["sum"] == 24
    assert num_traces <= ahead_of_time + 1


def test_uneven_split_is_refused():
    partitioner = Pmap(jax.local_devices()[:3])
    with pytest.raises(ConfigError) as caught:
        partitioner.shard_environments({"x": jnp.zeros((9, 2)), "y": jnp.zeros(10)})
    message = str(caught.value)
    assert "Number of environments (10) must be divisible by number of devices (3)" in message
    assert "Write num_envs=12" in message


def test_odd_device_counts_split_too():
    partitioner = Pmap(jax.local_devices()[:3])
    x = np.arange(9, dtype=np.int32)
    sharded = partitioner.shard_environments(x)
    assert [shard.data.ravel().tolist() for shard in sharded.addressable_shards] == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
    ]
    assert_same(partitioner.gather_environments(sharded), x)


def test_single_device_takes_any_number_of_environments():
    partitioner = SingleDevice(jax.local_devices()[5])
    sharded = partitioner.shard_environments(jnp.zeros(7))
    assert sharded.devices() == {jax.local_devices()[5]}


def test_devices_are_needed():
    with pytest.raises(ValueError, match="at least one device"):
        Pmap(())
