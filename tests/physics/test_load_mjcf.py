"""Models from files, as they come: included files, folders of their own, and what is no file."""

import numpy as np
import pytest

from ksim.physics import load_mjcf

ROBOT = """
<mujoco>
  <compiler meshdir="parts" angle="radian"/>
  <include file="common/world.xml"/>
  <asset><mesh name="wedge" file="wedge.obj"/></asset>
  <worldbody>
    <body><joint name="hinge" range="-1 1" limited="true"/><geom type="mesh" mesh="wedge"/></body>
  </worldbody>
</mujoco>
"""
WEDGE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"


def test_included_files_and_meshes_are_found_beside_the_file(tmp_path):
    (tmp_path / "common").mkdir()
    (tmp_path / "parts").mkdir()
    (tmp_path / "robot.xml").write_text(ROBOT)
    (tmp_path / "common/world.xml").write_text('<mujoco><option timestep="0.003"/></mujoco>')
    (tmp_path / "parts/wedge.obj").write_text(WEDGE)
    model = load_mjcf(tmp_path / "robot.xml")
    assert (model.nmesh, model.opt.timestep) == (1, 0.003)
    np.testing.assert_array_equal(model.jnt_range[0], (-1, 1))


def test_what_is_no_file_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"is a folder\. Give the path of an \.xml file in it"):
        load_mjcf(tmp_path)
    with pytest.raises(ValueError, match=r"found the text '<mujoco>.*MjModel\.from_xml_string"):
        load_mjcf("\n<mujoco><worldbody/></mujoco>")
