"""Servos that a time step is too long for."""

import mujoco
import numpy as np
import pytest

from ksim.physics import find_unstable_joints

# The inertia of the wheel about its hinge is 0.01 kg m^2.
WHEEL = """
<mujoco>
  <option timestep="0.005" gravity="0 0 0"/>
  <worldbody>
    <body>
      <joint name="hinge" axis="0 0 1" armature="0.01"/>
      <geom size="0.001" mass="1e-6" contype="0"/>
    </body>
  </worldbody>
  <actuator><general joint="hinge" gear="-2" gainprm="{kp}" biastype="affine"
                     biasprm="0 -{kp} -{kd}"/></actuator>
</mujoco>
"""


@pytest.mark.parametrize(
    ("kp", "kd"), [(0.0, 0.9), (0.0, 1.1), (390.0, 0.0), (410.0, 0.0), (200, 0.45), (200, 0.55)]
)
def test_a_servo_is_unstable_where_it_shakes_ever_harder(kp, kd):
    model = mujoco.MjModel.from_xml_string(WHEEL.format(kp=kp, kd=kd))
    data = mujoco.MjData(model)
    data.qvel[:] = 0.01
    with np.errstate(over="ignore"):
        mujoco.mj_step(model, data, 2000)
    is_unstable = abs(data.qvel[0]) > 0.1 or bool(data.warning.number.any())
    assert find_unstable_joints(model) == (("hinge",) if is_unstable else ())
    assert is_unstable == (kp > 400 or kd > 1 or (kp, kd) == (200, 0.55))
    # The other integrators take another share of the damping.
    model.opt.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    assert find_unstable_joints(model) == ()
