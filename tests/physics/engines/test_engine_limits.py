"""What an engine would leave out, or cannot step, is refused; another one can do it."""

import mujoco
import pytest

import ksim
from ksim import MjxEngine, NativeEngine

HINGE = 'axis="0 -1 0"'
TENDON = (
    '<tendon><fixed name="string" {}><joint joint="hinge" coef="1"/></fixed></tendon><actuator>'
)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("<option", '<option integrator="RK4"', r"found mjINT_RK4.*or engine=mujoco"),
        ("<motor", '<motor armature="0.1"', r"leaves out the armature of actuators.*=mujoco"),
        ("<motor", '<motor delay="0.02" nsample="9"', "leaves out the delay of actuators"),
        ("<sensor>", '<sensor><rangefinder site="tip"/>', r"a material.*<asset><material"),
        (HINGE, HINGE + ' damping="0.1 2"', r"damping by a polynomial.*\(dof_dampingpoly\)"),
        (HINGE, HINGE + ' stiffness="1 2"', r"stiffness by a polynomial.*\(jnt_stiffnesspoly\)"),
        ("<actuator>", TENDON.format('damping="1 2"'), r"polynomial.*\(tendon_dampingpoly\)"),
        ("<actuator>", TENDON.format('stiffness="1 2"'), r"polynomial.*\(tendon_stiffnesspoly"),
        ("<option", '<option noslip_iterations="3"', "leaves out the noslip solver"),
        ("<option", '<option actuatorgroupdisable="1"', "leaves out disabling groups of actuators"),
        (
            "<default>\n    <geom ",
            '<option density="1"/><default>\n    <geom fluidshape="ellipsoid" ',
            "leaves out the ellipsoid model",
        ),
        ("<flag ", '<flag spring="disable" ', r"Set the springs of .* to 0"),
        ("<flag ", '<flag damper="disable" ', r"Set the dampers of .* to 0"),
        (
            "<actuator>",
            TENDON.format('range="-0.2 0.4" margin="0.31"'),
            r'tendon string has a margin of 0.31, .* half its range \(0.3\).*margin="0.3" or less',
        ),
        (
            HINGE,
            HINGE + ' range="-0.1 0.3" margin="0.21"',
            r'joint hinge has a margin of 0.21, .* half its range \(0.2\).*margin="0.2" or less',
        ),
    ],
)
def test_what_mjx_would_leave_out_in_silence_is_refused(before, after, message):
    text = ksim.asset_path("pendulum.xml").read_text().replace(before, after, 1)
    assert after in text
    model = ksim.PhysicsModel.create(mujoco.MjModel.from_xml_string(text), 0.005, 0.02)
    with pytest.raises(ValueError, match=message):
        MjxEngine(model)
    NativeEngine(model)


def test_what_native_batches_cannot_step_is_refused():
    text = ksim.asset_path("pendulum.xml").read_text()
    text = text.replace("<flag ", '<flag sleep="enable" ')
    model = ksim.PhysicsModel.create(mujoco.MjModel.from_xml_string(text), 0.005, 0.02)
    with pytest.raises(ValueError, match=r"cannot step this model: sleep.*<flag sleep=.disable"):
        NativeEngine(model)
