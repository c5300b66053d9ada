"""Contacts: which sensors tell of them, and what is made of it."""

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim import ContactReward, ContactTermination, StepState
from ksim.physics import PhysicsModel
from ksim.terms.parts.contacts import ContactSensors
from ksim.terms.parts.feet import Feet, names_of

# Two legs with a heel and a toe each, 0.05 m above the floor at a base height of 0.15 m, and a shin
# that hangs over the left one. The right leg has no site that a touch sensor could use.
STOMPER = """
<mujoco>
  <worldbody>
    <geom name="floor" type="plane" size="1 1 1"/>
    <body name="base" pos="0 0 0.15">
      <freejoint/>
      <geom name="base" size="0.04" mass="1"/>
      <body name="left" pos="0 0.1 0">
        <joint name="left" axis="0 1 0"/>
        <geom name="left_heel" size="0.02" pos="-0.1 0 -0.08" mass="1"/>
        <geom name="left_toe" size="0.02" pos="0.1 0 -0.08" mass="1"/>
        <geom name="left_shin" size="0.02" pos="0 0 0.08" mass="1"/>
        <site name="left" pos="0 0 -0.08"/>
        <site name="left_heel" size="0.03" pos="-0.1 0 -0.08"/>
      </body>
      <body name="right" pos="0 -0.1 0">
        <joint name="right" axis="0 1 0"/>
        <geom name="right_heel" size="0.02" pos="-0.1 0 -0.08" mass="1"/>
        <geom name="right_toe" size="0.02" pos="0.1 0 -0.08" mass="1"/>
        <site name="right" pos="0 0 -0.08"/>
      </body>
    </body>
  </worldbody>
  <sensor>
    <jointpos name="angle" joint="left"/>
    <contact name="left_heel" geom1="left_heel" geom2="floor" data="found"/>
    <contact name="left_toe" geom1="floor" geom2="left_toe" data="found force"/>
    <contact name="shin" geom1="left_shin" geom2="right_toe" data="found"/>
    <contact name="right_any" body1="right" data="found"/>
    <contact name="force" geom1="right_toe" geom2="floor" data="force"/>
    <touch name="touch" site="left_heel"/>
    <contact site="right" geom2="floor" data="found"/>
  </sensor>
</mujoco>
"""
FEET = ("left", "right")


@pytest.fixture(scope="module")
def stomper():
    return PhysicsModel.create(mujoco.MjModel.from_xml_string(STOMPER), dt=0.005, ctrl_dt=0.02)


@pytest.fixture(scope="module")
def stand(stomper, make_physics):
    """Returns the physics of a base at a height; an angle lifts the heel and lowers the toe."""

    def at(height, left=0.0, right=0.0):
        return make_physics([0, 0, height, 1, 0, 0, 0, left, right], of=stomper)

    return at


def state_of(physics):
    zeros = jnp.zeros(2)
    return StepState(
        physics=physics,
        action=zeros,
        previous_action=zeros,
        commands={},
        time=jnp.zeros(()),
        level=jnp.ones(()),
    )


def test_contact_sensors_count_and_touch_sensors_weigh(stomper, stand):
    names = ("left_heel", "left_toe", "touch", "right_any")
    sensors = ContactSensors.create(stomper, names, "Term")
    assert sensors.is_touched(stand(0.15)).tolist() == [False] * 4
    assert sensors.is_touched(stand(0.099)).tolist() == [True] * 4
    assert sensors.is_touched(stand(0.11, left=0.2)).tolist() == [False, True, False, False]
    deaf = ContactSensors.create(stomper, names, "Term", min_contact_force=1e6)
    assert deaf.is_touched(stand(0.099)).tolist() == [True, True, False, True]


def test_a_foot_is_what_its_body_has_on_the_ground(stomper, stand):
    feet = Feet.create(stomper, FEET, "Term")
    assert feet.is_in_contact(stand(0.15)).tolist() == [False, False]
    assert feet.is_in_contact(stand(0.099)).tolist() == [True, True]
    # On one toe, and then on one heel.
    assert feet.is_in_contact(stand(0.11, left=0.2)).tolist() == [True, False]
    assert feet.is_in_contact(stand(0.11, left=-0.2)).tolist() == [True, False]
    assert feet.is_in_contact(stand(0.11, right=-0.2)).tolist() == [False, True]
    # The shin touches the other leg, and no ground.
    upside_down = stand(0.5, left=np.pi)
    assert feet.is_in_contact(upside_down).tolist() == [False, False]


def test_the_sensors_of_a_foot_can_be_named(stomper, stand):
    feet = Feet.create(stomper, {"right": ("right_any",), "left": ("touch", "left_toe")}, "Term")
    assert feet.names == ("right", "left")
    assert names_of({"right": ("right_any",)}) == ("right",)
    assert feet.is_in_contact(stand(0.11, left=0.2)).tolist() == [False, True]
    assert feet.is_in_contact(stand(0.099)).tolist() == [True, True]
    with pytest.raises(KeyError, match=r'Term\(sensor="lef_toe"\).*left_toe'):
        Feet.create(stomper, {"left": ("lef_toe",)}, "Term")
    with pytest.raises(KeyError, match=r'Term\(site="l\*"\): no such site'):
        Feet.create(stomper, {"l*": ("touch",)}, "Term")
    with pytest.raises(ValueError, match="name at least one site"):
        Feet.create(stomper, {}, "Term")
    with pytest.raises(ValueError, match="name at least one sensor"):
        Feet.create(stomper, {"left": ()}, "Term")


def test_a_touch_sensor_goes_before_contact_sensors(stomper, stand):
    feet = Feet.create(stomper, ("left_heel",), "Term")
    # The toe's sensor belongs to the same body.
    assert feet.is_in_contact(stand(0.11, left=0.2)).tolist() == [False]
    assert feet.is_in_contact(stand(0.11, left=-0.2)).tolist() == [True]


def test_a_reward_counts_and_a_termination_ends(stomper, stand):
    reward = ContactReward.create(stomper, ("left_*", "right_any"))
    ending = ContactTermination.create(stomper, ("left_toe", "right_any"))
    assert reward.scale == -1.0 and not ending.is_time_out
    for height, left, value, has_ended in (
        (0.15, 0.0, 0, False),
        (0.11, 0.2, 1, True),
        (0.11, -0.2, 1, False),
        (0.099, 0.0, 3, True),
    ):
        state = state_of(stand(height, left))
        assert reward(state, ())[0] == value
        assert bool(ending(state, ())[0]) == has_ended


@pytest.mark.parametrize("term", [ContactReward, ContactTermination])
def test_sensors_that_tell_of_no_contact(stomper, term):
    message = rf'{term.__name__}\(sensor="angle"\): it is of the type mjSENS_JOINTPOS'
    with pytest.raises(ValueError, match=message):
        term.create(stomper, ("angle",))
    with pytest.raises(ValueError, match=r'sensor="force"\): its data lacks "found".*data="found"'):
        term.create(stomper, ("force",))
    with pytest.raises(ValueError, match="min_contact_force must be positive"):
        term.create(stomper, ("touch",), min_contact_force=0.0)
    with pytest.raises(KeyError, match=r'sensor="ange"\).*Did you mean "angle"'):
        term.create(stomper, ("ange",))


def test_a_foot_without_any_sensor(make_model):
    bare = make_model({'<touch name="left_touch" site="left_foot"/>': ""})
    message = 'the site has no touch sensor, and no contact sensor.*"left_shank" is on the ground'
    with pytest.raises(ValueError, match=message):
        Feet.create(bare, ("left_foot",), "Term")
