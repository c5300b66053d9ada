"""Resets: where an episode begins."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim import (
    BaseVelocityReset,
    HeadingReset,
    HeightReset,
    JointPositionReset,
    JointVelocityReset,
    KeyframeReset,
    PoseReset,
)
from ksim.physics import EpisodeStart
from ksim.physics.rotation import rotate_inverse, yaw_of

ROLLED = [math.cos(0.2), math.sin(0.2), 0.0, 0.0]  # 0.4 rad about the x axis


def start_at(qpos=None, qvel=None):
    qpos = [1.0, 2.0, 1.0, *ROLLED, 0.0, 0.1, 0.2, 0.3, 0.4] if qpos is None else qpos
    qvel = np.arange(11.0) if qvel is None else qvel
    return EpisodeStart(qpos=jnp.array(qpos, jnp.float32), qvel=jnp.array(qvel, jnp.float32))


def apply(reset, start, seed=0):
    start, carry = reset(start, jnp.ones(()), (), jax.random.key(seed))
    assert carry == ()
    return np.array(start.qpos), np.array(start.qvel)


def test_joint_positions_are_offset_within_their_limits(model):
    reset = JointPositionReset.create(model, ["left_hip", "left_knee"], offset_range=(0.2, 0.4))
    qpos, qvel = apply(reset, start_at())
    expected = np.array(start_at().qpos)
    assert 0.3 <= qpos[8] <= 0.5  # 0.1 + [0.2, 0.4]
    assert 0.4 <= qpos[9] <= 0.5  # 0.2 + [0.2, 0.4], limit 0.5
    assert qpos[8] - 0.1 != pytest.approx(qpos[9] - 0.2)  # each its own draw
    np.testing.assert_array_equal(np.delete(qpos, [8, 9]), np.delete(expected, [8, 9]))
    np.testing.assert_array_equal(qvel, start_at().qvel)
    far = JointPositionReset.create(model, ["left_knee"], offset_range=(5.0, 5.0))
    assert apply(far, start_at())[0][9] == pytest.approx(0.5)


def test_joint_velocities_are_added(model):
    reset = JointVelocityReset.create(model, ["neck", "right_knee"], velocity_range=(0.5, 1.0))
    qpos, qvel = apply(reset, start_at())
    assert 6.5 <= qvel[6] <= 7.0
    assert 10.5 <= qvel[10] <= 11.0
    np.testing.assert_array_equal(np.delete(qvel, [6, 10]), np.delete(np.arange(11.0), [6, 10]))
    np.testing.assert_array_equal(qpos, start_at().qpos)


def test_heading_turns_pose_and_motion_and_keeps_the_tilt(model):
    reset = HeadingReset.create(model, yaw_range=(0.7, 0.7))
    start = start_at()
    qpos, qvel = apply(reset, start)
    assert yaw_of(jnp.array(qpos[3:7])) == pytest.approx(0.7, abs=1e-5)
    np.testing.assert_allclose(np.delete(qpos, range(3, 7)), np.delete(start.qpos, range(3, 7)))
    down = jnp.array([0.0, 0.0, -1.0])
    for vector, turned in ((down, down), (start.qvel[:3], jnp.array(qvel[:3]))):
        # Gravity and velocity look the same from the robot, before and after.
        before = rotate_inverse(start.qpos[3:7], vector)
        after = rotate_inverse(jnp.array(qpos[3:7]), turned)
        np.testing.assert_allclose(before, after, atol=1e-5)
    np.testing.assert_array_equal(qvel[3:], np.arange(3.0, 11.0))


def test_headings_cover_the_circle(model):
    reset = HeadingReset.create(model)
    keys = jax.random.split(jax.random.key(0), 200)
    start = start_at()

    def yaw(key):
        return yaw_of(reset(start, jnp.ones(()), (), key)[0].qpos[3:7])

    yaws = np.array(jax.jit(jax.vmap(yaw))(keys))
    counts, _ = np.histogram(yaws, bins=4, range=(-math.pi, math.pi))
    assert counts.min() > 30


def test_height_is_added(model):
    qpos, qvel = apply(HeightReset.create(model, height_range=(0.2, 0.3)), start_at())
    assert 1.2 <= qpos[2] <= 1.3
    np.testing.assert_array_equal(np.delete(qpos, 2), np.delete(start_at().qpos, 2))
    np.testing.assert_array_equal(qvel, start_at().qvel)


def test_base_velocity_is_added(model):
    qpos, qvel = apply(BaseVelocityReset.create(model, max_speed=0.5), start_at())
    difference = qvel - np.arange(11.0)
    assert np.all(np.abs(difference[:2]) <= 0.5)
    assert np.all(difference[:2] != 0.0)
    np.testing.assert_array_equal(difference[2:], 0.0)
    np.testing.assert_array_equal(qpos, start_at().qpos)


def test_keyframe_sets_pose_and_velocity(model):
    qpos, qvel = apply(KeyframeReset.create(model, "stand"), start_at())
    np.testing.assert_allclose(qpos, [0, 0, 0.98, 1, 0, 0, 0, 0, -0.2, 0.4, -0.2, 0.4], atol=1e-6)
    np.testing.assert_allclose(qvel, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.5])
    with pytest.raises(KeyError, match=r"KeyframeReset\(keyframe=.*sit.*\).*stand"):
        KeyframeReset.create(model, "sit")


def test_pose_of_named_joints_at_rest(model):
    reset = PoseReset.create(model, {"*_knee": 0.4, "neck": 0.3})
    qpos, qvel = apply(reset, start_at())
    # The hips, which the pose does not name, go to the model's own 0; the base stays, in motion.
    np.testing.assert_allclose(qpos[7:], [0.3, 0.0, 0.4, 0.0, 0.4])
    np.testing.assert_array_equal(qpos[:7], start_at().qpos[:7])
    np.testing.assert_array_equal(qvel, [0, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0])


def test_pose_leaves_other_joints_alone(model):
    reset = PoseReset.create(model, "stand", joints=["left_hip", "left_knee"])
    qpos, qvel = apply(reset, start_at())
    np.testing.assert_allclose(qpos[7:], [0.0, -0.2, 0.4, 0.3, 0.4])
    np.testing.assert_array_equal(qvel[6:], [6, 0, 0, 9, 10])
    # The model's own pose: 0, but 0.1 of the neck, which is its `ref`.
    own = PoseReset.create(model, None)
    np.testing.assert_allclose(apply(own, start_at())[0][7:], [0.1, 0, 0, 0, 0])


def test_wrong_poses(model):
    with pytest.raises(KeyError, match=r"PoseReset.*shoulder.*left_hip"):
        PoseReset.create(model, {"shoulder": 0.1})
    with pytest.raises(KeyError, match=r"PoseReset\(keyframe=.*sit.*\).*stand"):
        PoseReset.create(model, "sit")
    message = r'"left_knee": 0.6.*limits, -1.5 to 0.5. Write default_positions={"left_knee": 0.5}'
    with pytest.raises(ValueError, match=message):
        PoseReset.create(model, {"*_knee": 0.6})


def test_no_reset_undoes_another(model):
    velocity_resets = [
        JointVelocityReset.create(model, velocity_range=(1.0, 1.0)),
        BaseVelocityReset.create(model, max_speed=0.5),
    ]
    others = [
        JointPositionReset.create(model, offset_range=(0.01, 0.02)),
        HeadingReset.create(model),
        HeightReset.create(model, height_range=(0.1, 0.1)),
    ]
    start = start_at(qvel=np.zeros(11))
    keyframe = KeyframeReset.create(model, "stand")
    for seed, reset in enumerate([keyframe, *velocity_resets, *others]):
        start, _ = reset(start, jnp.ones(()), (), jax.random.key(seed))
    np.testing.assert_allclose(start.qvel[6:], [1, 1, 1, 1, 1.5])  # the keyframe adds 0.5
    assert np.linalg.norm(start.qvel[:2]) > 0.01
    assert start.qpos[2] == pytest.approx(1.08)
    assert np.all(np.abs(start.qpos[8:] - jnp.array([-0.2, 0.4, -0.2, 0.4]) - 0.015) <= 0.006)
