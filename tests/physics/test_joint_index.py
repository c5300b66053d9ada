"""Which joints a model has, by name, and which floating body is the robot."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim import DampingRandomizer
from ksim.physics import JointIndex, PhysicsModel, check_names
from tests.physics.small_worlds import ARM_AND_CUBE, BALL_AND_ROBOT, DRONE, PUPPET

GRIPPER = DRONE.replace('motor site="thrust"', 'adhesion body="robot"')


def index_of(text: str) -> JointIndex:
    return JointIndex(mujoco.MjModel.from_xml_string(text))


def test_the_robot_is_the_floating_body_that_an_actuator_moves():
    joints = index_of(BALL_AND_ROBOT)
    # world, ball, obstacle, torso: the ball's free joint takes 7 and 6 numbers.
    assert joints.base is not None
    assert (joints.base.body_id, joints.base.qpos_start, joints.base.qvel_start) == (3, 7, 6)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(DRONE, id="by its sites"),
        pytest.param(PUPPET, id="by a tendon"),
        pytest.param(
            DRONE.replace('motor site="thrust"', 'adhesion body="robot"'), id="by its body"
        ),
    ],
)
def test_a_robot_is_moved_by_whatever_transmission(text):
    joints = index_of(text)
    assert joints.base is not None
    assert joints.base.qpos_start == 7


def test_the_first_floats_where_no_actuator_is():
    ball = '<body pos="0 0 1"><freejoint/><geom size="0.1"/></body>'
    base = index_of(f"<mujoco><worldbody>{ball}{ball}</worldbody></mujoco>").base
    assert base is not None
    assert base.qpos_start == 0


def test_a_cube_beside_an_arm_is_not_its_base():
    joints = index_of(ARM_AND_CUBE)
    assert joints.base is None
    with pytest.raises(
        ValueError, match=r"HeightReset .*no actuator moves a body that floats \(cube\)"
    ):
        joints.require_base("HeightReset")


def test_every_floating_body_is_found_by_its_name():
    joint = index_of(ARM_AND_CUBE).free_joint("cube")
    assert (joint.body_id, joint.qpos_start, joint.qvel_start) == (2, 1, 1)
    message = r'joints\(body="arm"\): no such floating body.*Floating bodies: cube'
    with pytest.raises(KeyError, match=message):
        index_of(ARM_AND_CUBE).free_joint("arm")


def test_a_joint_without_a_name_gets_one_that_no_other_has():
    joints = index_of(BALL_AND_ROBOT)
    # The joint with id 2 has no name, and the one with id 3 is called joint_2.
    assert joints.names == ("joint_2_", "joint_2")
    assert joints.select(("joint_2_", "joint_2")).qpos_ids == (14, 15)
    np.testing.assert_allclose(joints.select(("joint_2_",)).upper, np.deg2rad(60))


def test_a_ball_joint_cannot_be_selected_and_the_error_says_so():
    with pytest.raises(KeyError, match=r'joint="neck".*a ball joint, and only hinges and slides'):
        index_of(PUPPET).select(("neck",), "JointPositionObservation")


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ("elbow", TypeError, r'Reward\(..., "elbow"\): names come as a tuple.*\("elbow",\)'),
        (("elbow", "elbow"), ValueError, r'Reward\(joint="elbow"\): named twice'),
    ],
)
def test_names_come_as_a_tuple_and_once(names, error, message):
    with pytest.raises(error, match=message):
        check_names(names, "joint", "Reward")


def test_a_robot_without_joints_has_an_empty_selection():
    joints = index_of(DRONE).select()
    assert len(joints) == 0
    qpos, qvel = jnp.arange(14.0), jnp.arange(12.0)
    assert joints.positions(qpos).shape == joints.velocities(qvel).shape == (0,)
    np.testing.assert_array_equal(joints.set_positions(qpos, jnp.zeros(0)), qpos)
    np.testing.assert_array_equal(joints.set_velocities(qvel, jnp.zeros(0)), qvel)
    model = PhysicsModel.create(mujoco.MjModel.from_xml_string(DRONE), 0.005, 0.02)
    damping, _ = DampingRandomizer.create(model)({"dof_damping": qvel}, (), jax.random.key(0))
    np.testing.assert_array_equal(damping["dof_damping"], qvel)
