import itertools
import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ksim.storage import checkpoint as checkpoint_module
from ksim.storage.checkpoint import (
    CheckpointSaveError,
    open_checkpoint,
    save_checkpoint,
)
from ksim.storage.checkpoint_folder import (
    find_checkpoint,
    latest_checkpoint,
    list_checkpoints,
    prune_checkpoints,
    set_aside_later_checkpoints,
)
from ksim.storage.manifest import CheckpointCorruptError
from ksim.storage.state_leaves import CheckpointMismatchError, named_leaves


class Carry(NamedTuple):
    count: object
    hidden: object


@flax.struct.dataclass
class State:
    params: object
    opt_state: object
    carry: object
    keys: object
    name: str = flax.struct.field(pytree_node=False, default="walk")


def mixed_state():
    params = {"dense_0": {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": jnp.zeros(3)}}
    floats = np.array([0x7FC00001, 0xFF800000, 0x80000000, 1], np.uint32).view(np.float32)
    carry = (
        Carry(np.int32(-3), floats),  # a NaN with a payload, -inf, -0 and the smallest number
        jnp.array([1.5, jnp.nan], jnp.bfloat16),
        np.array([True, False]),
        np.array(True),
        np.zeros((0, 4), np.float32),
        np.uint32(2**32 - 1),
        np.arange(3, dtype=np.float64),
        {"dots.and/slashes": np.int8(7), "empty": (), "none": None},
        5,
    )
    keys = (jax.random.key(1), jax.random.split(jax.random.key(2, impl="rbg"), 4))
    return State(params, optax.adam(1e-3).init(params), carry, keys)


def small_state(value=1.0):
    return {"weights": np.full(100, value, np.float32), "count": np.int32(value)}


def assert_identical(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for name, leaf in named_leaves(expected).items():
        found = named_leaves(actual)[name]
        if hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            assert found.dtype == leaf.dtype, name
            found, leaf = jax.random.key_data(found), jax.random.key_data(leaf)
        else:
            assert isinstance(found, np.ndarray), name
        found, leaf = np.asarray(found), np.asarray(leaf)
        assert (found.shape, found.dtype) == (leaf.shape, leaf.dtype), name
        assert found.tobytes() == leaf.tobytes(), name


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def files_of(path):
    return sorted(file for file in path.rglob("*") if file.is_file())


def test_round_trip_is_bit_for_bit(tmp_path):
    state = mixed_state()
    path = save_checkpoint(tmp_path / "checkpoints", 42, state, {"task": "walk", "best": 1.5})
    assert path == tmp_path / "checkpoints" / "step_00000042"
    assert_identical(open_checkpoint(path).restore(state), state)
    assert open_checkpoint(path).metadata == {"task": "walk", "best": 1.5}


def test_restores_from_shapes_alone_and_keys_draw_the_same(tmp_path):
    state = {"keys": jax.random.split(jax.random.key(3), 2), "x": jnp.ones((2, 2), jnp.bfloat16)}
    path = save_checkpoint(tmp_path, 0, state, {})
    restored = open_checkpoint(path).restore(jax.eval_shape(lambda: state))
    assert_identical(restored, state)
    draw = jax.vmap(jax.random.normal)
    np.testing.assert_array_equal(draw(restored["keys"]), draw(state["keys"]))


def test_a_part_is_read_alone(tmp_path, monkeypatch):
    def read_and_note(*arguments):
        arrays = read(*arguments)
        noted.extend(sorted(arrays))
        return arrays

    noted, read = [], checkpoint_module._read_arrays
    monkeypatch.setattr(checkpoint_module, "_read_arrays", read_and_note)
    path = save_checkpoint(tmp_path, 1, {"train": small_state(1), "other": small_state(2)}, {})
    restored = open_checkpoint(path).restore({"train": small_state()}, part="train/")
    assert_identical(restored["train"], small_state(1))
    assert noted == ["train/count", "train/weights"]


def test_state_without_any_data(tmp_path):
    state = {"empty": np.zeros((0, 3), np.int32), "keys": jax.random.split(jax.random.key(0), 0)}
    path = save_checkpoint(tmp_path, 1, state, {})
    assert_identical(open_checkpoint(path).restore(state), state)


def test_arrays_of_several_devices_are_saved_in_their_global_layout(tmp_path):
    mesh = jax.make_mesh((jax.device_count(),), ("device",), (jax.sharding.AxisType.Auto,))
    sharding = jax.NamedSharding(mesh, jax.sharding.PartitionSpec("device"))
    qpos = np.arange(16 * jax.device_count(), dtype=np.float32).reshape(-1, 2)
    keys = jax.random.split(jax.random.key(0), len(qpos))
    state = {"qpos": qpos, "keys": keys}
    path = save_checkpoint(tmp_path, 1, jax.device_put(state, sharding), {})
    assert_identical(open_checkpoint(path).restore(state), state)


def test_can_be_read_without_ksim(tmp_path):
    import orbax.checkpoint as ocp

    path = save_checkpoint(tmp_path, 1, {"params": {"w": np.arange(3)}}, {})
    with ocp.PyTreeCheckpointer() as checkpointer:
        arrays = checkpointer.restore(path / "arrays")
    assert list(arrays) == ["params/w"]
    np.testing.assert_array_equal(arrays["params/w"], np.arange(3))
    leaves = json.loads((path / "metadata.json").read_text())["leaves"]
    assert leaves == {"params/w": {"shape": [3], "dtype": "int64"}}


def test_mismatch_names_the_leaves_and_never_casts(tmp_path):
    path = save_checkpoint(tmp_path, 1, {"a": np.zeros((4, 2), np.float32), "b": np.int32(1)}, {})
    target = {"a": np.zeros((8, 2), np.float32), "b": np.float32(1)}
    checkpoint = open_checkpoint(path)
    for read in (checkpoint.restore, checkpoint.check_fits):
        with pytest.raises(CheckpointMismatchError) as caught:
            read(target)
        assert f"Checkpoint {path} does not fit" in str(caught.value)
        assert "a: expected float32[8, 2], found float32[4, 2]" in str(caught.value)
        assert "b: expected float32[], found int32[]" in str(caught.value)
    checkpoint.check_fits({"a": np.zeros((4, 2), np.float32), "b": np.int32(1)})


def test_key_of_another_implementation_does_not_fit(tmp_path):
    path = save_checkpoint(tmp_path, 1, {"key": jax.random.key(0)}, {})
    with pytest.raises(CheckpointMismatchError, match=r"key: expected key<rbg>.*found key<fry>"):
        open_checkpoint(path).restore({"key": jax.random.key(0, impl="rbg")})


def test_bad_leaves_and_metadata_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(TypeError, match="Leaf name of the state"):
        save_checkpoint(tmp_path / "checkpoints", 1, {"name": "walk"}, {})
    with pytest.raises(TypeError, match="JSON"):
        save_checkpoint(tmp_path / "checkpoints", 1, {}, {"path": tmp_path})
    assert not (tmp_path / "checkpoints").exists()


def test_flipped_bit_is_found_in_every_file(tmp_path):
    path = save_checkpoint(tmp_path, 1, small_state(), {})
    files = files_of(path)
    assert len(files) > 4
    for file in files:
        original = file.read_bytes()
        flip_a_bit(file)
        with pytest.raises(CheckpointCorruptError):
            open_checkpoint(path).restore(small_state())
        file.write_bytes(original)
    assert_identical(open_checkpoint(path).restore(small_state()), small_state())


@pytest.mark.parametrize("damage", ["truncate", "remove"])
def test_truncated_or_missing_file_is_named(tmp_path, damage):
    path = save_checkpoint(tmp_path, 1, small_state(), {})
    file = max(files_of(path / "arrays"), key=lambda file: file.stat().st_size)
    if damage == "truncate":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        file.unlink()
    with pytest.raises(CheckpointCorruptError, match=f"{path} is damaged in arrays/.*{file.name}"):
        open_checkpoint(path).restore(small_state())


def test_damaged_metadata_is_found(tmp_path):
    path = save_checkpoint(tmp_path, 1, small_state(), {"lr": 1})
    (path / "metadata.json").write_text((path / "metadata.json").read_text().replace("1", "2"))
    with pytest.raises(CheckpointCorruptError, match=r"metadata\.json"):
        open_checkpoint(path)


def test_latest_skips_and_reports_damaged_checkpoints(tmp_path, caplog):
    assert latest_checkpoint(tmp_path / "nothing") is None
    first, second, third = (save_checkpoint(tmp_path, i, small_state(i), {}) for i in (1, 9, 10))
    assert latest_checkpoint(tmp_path).path == third
    flip_a_bit(third / "metadata.json")
    (second / "metadata.json").unlink()
    with caplog.at_level(logging.WARNING):
        assert latest_checkpoint(tmp_path).path == first
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert str(third) in caplog.messages[0] and str(second) in caplog.messages[1]


def test_what_is_not_a_finished_checkpoint_is_not_listed(tmp_path):
    path = save_checkpoint(tmp_path, 1, small_state(), {})
    (tmp_path / "7").mkdir()
    (tmp_path / "step_00000007").mkdir()
    (tmp_path / "step_00000008").write_text("")
    (tmp_path / "step_00000009.copy").symlink_to(path)
    assert list_checkpoints(tmp_path) == [path]


def test_find_takes_a_checkpoint_its_folder_or_the_run(tmp_path):
    folder = tmp_path / "checkpoints"
    path = save_checkpoint(folder, 1, small_state(), {})
    assert {find_checkpoint(named).path for named in (path, folder, tmp_path)} == {path}
    copy = path.rename(tmp_path / "best")
    assert find_checkpoint(copy).path == copy
    with pytest.raises(ValueError, match=f"No intact checkpoint at {tmp_path}/typo.*holds: best"):
        find_checkpoint(tmp_path / "typo" / "step_00000001")
    with pytest.raises(ValueError, match=f"{folder} holds nothing"):
        find_checkpoint(folder)


def test_prune_keeps_the_newest(tmp_path):
    paths = [save_checkpoint(tmp_path, i, small_state(), {}) for i in (9, 10, 100)]
    assert prune_checkpoints(tmp_path, keep=3) == []
    assert prune_checkpoints(tmp_path, keep=2) == paths[:1]
    assert sorted(tmp_path.iterdir()) == paths[1:]
    with pytest.raises(ValueError, match="keep=0"):
        prune_checkpoints(tmp_path, keep=0)


def test_later_checkpoints_are_set_aside(tmp_path):
    paths = [save_checkpoint(tmp_path, i, small_state(i), {}) for i in (1, 2, 3)]
    moved = set_aside_later_checkpoints(tmp_path, 1)
    assert [path.name for path in moved] == [f"step_0000000{i}.superseded_0" for i in (2, 3)]
    assert list_checkpoints(tmp_path) == paths[:1]
    save_checkpoint(tmp_path, 2, small_state(), {})
    assert set_aside_later_checkpoints(tmp_path, 1)[0].name == "step_00000002.superseded_1"
    assert_identical(open_checkpoint(moved[0]).restore(small_state()), small_state(2))


def test_saving_a_step_again_replaces_it(tmp_path):
    save_checkpoint(tmp_path, 1, small_state(1), {})
    path = save_checkpoint(tmp_path, 1, small_state(2), {})
    assert_identical(open_checkpoint(path).restore(small_state()), small_state(2))
    assert list(tmp_path.iterdir()) == [path]


def test_replacing_never_destroys_before_the_new_one_stands(tmp_path, monkeypatch):
    def rename(path, target):
        if path.name.endswith(".writing"):
            raise KeyboardInterrupt
        return original(path, target)

    original = Path.rename
    first = save_checkpoint(tmp_path, 1, small_state(1), {})
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(Path, "rename", rename)
        save_checkpoint(tmp_path, 1, small_state(2), {})
    assert list(tmp_path.iterdir()) == [first]
    save_checkpoint(tmp_path, 2, small_state(3), {})
    assert_identical(open_checkpoint(first).restore(small_state()), small_state(1))


def test_a_checkpoint_that_a_killed_save_moved_away_is_found(tmp_path):
    first = save_checkpoint(tmp_path, 1, small_state(1), {})
    first.rename(tmp_path / ".step_00000001.replaced")  # killed between the two renames
    assert find_checkpoint(tmp_path).path == first
    assert_identical(open_checkpoint(first).restore(small_state()), small_state(1))
    # One whose successor stands is left for the next save to remove.
    shutil.copytree(first, tmp_path / ".step_00000001.replaced")
    assert list_checkpoints(tmp_path) == [first]


def test_leftovers_of_killed_saves_are_cleared_and_moved_checkpoints_put_back(tmp_path):
    first = save_checkpoint(tmp_path, 1, small_state(1), {})
    (tmp_path / ".step_00000002.writing").mkdir()
    (tmp_path / ".step_00000000.removed").mkdir()
    first.rename(tmp_path / ".step_00000001.replaced")  # killed between the two renames
    second = save_checkpoint(tmp_path, 2, small_state(2), {})
    assert sorted(tmp_path.iterdir()) == [first, second]
    assert_identical(open_checkpoint(first).restore(small_state()), small_state(1))


def test_file_size_limit_is_a_clear_error_and_leaves_earlier_checkpoints(tmp_path):
    first = save_checkpoint(tmp_path, 1, small_state(), {})
    big = {"noise": np.random.default_rng(0).random(100_000)}  # 800 kB, does not compress
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(CheckpointSaveError) as caught:
            save_checkpoint(tmp_path, 2, big, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"Checkpoint {tmp_path / 'step_00000002'} could not be saved" in str(caught.value)
    assert "File too large" in str(caught.value)
    assert "Earlier checkpoints are untouched" in str(caught.value)
    assert list(tmp_path.iterdir()) == [first]
    assert_identical(open_checkpoint(first).restore(small_state()), small_state())


@pytest.mark.parametrize("function", ["_write_arrays", "write_manifest", "_put_in_place"])
def test_full_disk_at_any_stage_keeps_the_checkpoint_of_the_same_step(
    tmp_path, monkeypatch, function
):
    def full(*_):
        raise OSError(28, "No space left on device")

    path = save_checkpoint(tmp_path, 1, small_state(1), {})
    monkeypatch.setattr(checkpoint_module, function, full)
    with pytest.raises(CheckpointSaveError, match="No space left on device"):
        save_checkpoint(tmp_path, 1, small_state(2), {})
    assert list(tmp_path.iterdir()) == [path]
    assert_identical(open_checkpoint(path).restore(small_state()), small_state(1))


def test_interrupt_leaves_no_temporary_directory(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint_module, "write_manifest", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, 1, small_state(), {})
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "checkpoints").write_text("a file in the way")
    with pytest.raises(CheckpointSaveError, match="step_00000001 could not be saved"):
        save_checkpoint(tmp_path / "checkpoints", 1, small_state(), {})


SAVE_FOR_EVER = """
import itertools, pathlib, sys
import numpy as np
from ksim.storage.checkpoint import save_checkpoint
from ksim.storage.checkpoint_folder import prune_checkpoints
folder = pathlib.Path(sys.argv[1])
for step in itertools.count(int(sys.argv[2])):
    save_checkpoint(folder, step // 2, {"weights": np.full(100_000, step, np.float32)}, {})
    prune_checkpoints(folder, 3)
    print(step, flush=True)
"""


def test_kill_at_any_moment_leaves_only_whole_checkpoints(tmp_path):
    target = {"weights": np.zeros(100_000, np.float32)}
    step = 0
    for delay in (0.013, 0.11, 0.27):
        arguments = [sys.executable, "-c", SAVE_FOR_EVER, str(tmp_path), str(step)]
        environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment) as run:
            step = int(next(itertools.islice(run.stdout, 2, None)))
            time.sleep(delay)
            run.send_signal(signal.SIGKILL)
            step = max([step, *map(int, run.stdout.read().split())])
        path = latest_checkpoint(tmp_path).path
        # Each step is saved twice; in the middle of the second save the first may be moved away.
        assert int(path.name[5:]) >= step // 2 - 1
        for whole in list_checkpoints(tmp_path):
            weights = open_checkpoint(whole).restore(target)["weights"]
            assert weights[0] // 2 == int(whole.name[5:]) and (weights == weights[0]).all()
    save_checkpoint(tmp_path, step, target, {})
    assert not list(tmp_path.glob(".*"))
