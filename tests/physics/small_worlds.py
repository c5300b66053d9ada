"""Small models, each with something that a humanoid does not have."""

FLOOR = '<geom name="floor" type="plane" size="5 5 0.1"/>'
BALL = '<body name="ball" pos="1 0 0.1"><freejoint/><geom size="0.1"/></body>'

# A ball and an obstacle stand before the robot; of its two joints one has no name.
BALL_AND_ROBOT = f"""
<mujoco>
  <worldbody>
    {FLOOR}
    {BALL}
    <body name="obstacle" pos="2 0 0.1"><geom type="box" size="0.1 0.1 0.1"/></body>
    <body name="torso" pos="0 0 0.4">
      <freejoint name="root"/>
      <geom type="box" size="0.2 0.1 0.05" mass="3"/>
      <body pos="0.2 0 0">
        <joint axis="0 1 0" damping="1" range="-60 60"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.3" size="0.02"/>
      </body>
      <body pos="-0.2 0 0">
        <joint name="joint_2" axis="0 1 0" damping="1"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.3" size="0.02"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="joint_2" gear="10" ctrlrange="-1 1"/></actuator>
</mujoco>
"""

DRONE = f"""
<mujoco>
  <worldbody>
    {BALL}
    <body name="robot" pos="0 0 1">
      <freejoint/>
      <geom type="box" size="0.1 0.1 0.02" mass="1"/>
      <site name="thrust"/>
    </body>
  </worldbody>
  <actuator><motor site="thrust" ctrlrange="0 20"/></actuator>
</mujoco>
"""

# Its only actuator pulls a string between its two parts.
PUPPET = f"""
<mujoco>
  <worldbody>
    {BALL}
    <body name="robot" pos="0 0 1">
      <freejoint/>
      <geom size="0.1"/>
      <site name="hip" pos="0.1 0 0"/>
      <body pos="0 0 0.2">
        <joint name="neck" type="ball" damping="0.1"/>
        <geom size="0.05" pos="0 0 0.1"/>
        <site name="ear" pos="0.05 0 0.1"/>
      </body>
    </body>
  </worldbody>
  <tendon><spatial name="string"><site site="hip"/><site site="ear"/></spatial></tendon>
  <actuator><motor tendon="string" ctrlrange="-1 0"/></actuator>
</mujoco>
"""

ARM_AND_CUBE = """
<mujoco>
  <worldbody>
    <body name="arm" pos="0 0 0.2">
      <joint name="elbow" axis="0 1 0" damping="0.1"/>
      <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.02"/>
    </body>
    <body name="cube" pos="1 0 0.1"><freejoint/><geom type="box" size="0.1 0.1 0.1"/></body>
  </worldbody>
  <actuator><motor joint="elbow" ctrlrange="-1 1"/></actuator>
</mujoco>
"""

# Actuators with a state of their own: a servo with a lag, one that integrates, a muscle.
LAG_AND_MUSCLE = """
<mujoco>
  <worldbody>
    <site name="origin" pos="0.1 0 0.1"/>
    <body>
      <joint name="shoulder" axis="0 1 0" damping="0.1" range="-90 90"/>
      <geom type="capsule" fromto="0 0 0 0 0 -0.5" size="0.03"/>
      <site name="insertion" pos="0.05 0 -0.2"/>
      <body pos="0 0 -0.5">
        <joint name="elbow" axis="0 1 0" damping="0.1"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.5" size="0.03"/>
      </body>
    </body>
  </worldbody>
  <tendon>
    <spatial name="tendon" stiffness="3"><site site="origin"/><site site="insertion"/></spatial>
  </tendon>
  <actuator>
    <position joint="shoulder" kp="20" timeconst="0.05" ctrlrange="-1 1"/>
    <intvelocity joint="elbow" kp="10" actrange="-1 1" ctrlrange="-2 2"/>
    <muscle tendon="tendon" lengthrange="0.1 0.5" force="50"/>
  </actuator>
  <sensor><tendonpos tendon="tendon"/><actuatorfrc actuator="muscle"/></sensor>
</mujoco>
""".replace("<muscle ", '<muscle name="muscle" ')

# A leg of two links that a rod on a ball joint closes to a loop; one joint has a reference angle.
CLOSED_LOOP = f"""
<mujoco>
  <option timestep="0.001" integrator="RK4"/>
  <worldbody>
    {FLOOR}
    <body name="pelvis" pos="0 0 0.5">
      <freejoint/>
      <geom type="box" size="0.1 0.1 0.05" mass="5"/>
      <body>
        <joint name="hip" axis="0 1 0" range="-50 80" damping="1" armature="0.05"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.4" size="0.03"/>
        <body name="shin" pos="0 0 -0.4">
          <joint name="knee" axis="0 1 0" ref="-45" range="-164 -37" damping="1"/>
          <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.02"/>
          <site name="toe" pos="0.3 0 0" size="0.05"/>
        </body>
        <body name="rod" pos="0 0.05 0">
          <joint name="rod" type="ball" damping="0.01"/>
          <geom type="capsule" fromto="0 0 0 0.2 -0.05 -0.4" size="0.01" contype="0"/>
        </body>
      </body>
    </body>
  </worldbody>
  <equality><connect body1="rod" body2="shin" anchor="0.2 -0.05 -0.4"/></equality>
  <actuator><motor joint="hip" gear="25"/><motor joint="knee" gear="-16"/></actuator>
  <sensor>
    <touch site="toe"/>
    <rangefinder site="toe"/>
    <ballquat joint="rod"/>
    <accelerometer site="toe"/>
    <framelinvel objtype="site" objname="toe"/>
  </sensor>
</mujoco>
"""
