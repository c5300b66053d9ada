"""What every task does with its hooks, its options and its command line."""

import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import jaxtyping
import mujoco
import pytest

import ksim
from examples.cartpole import CartPoleTask
from examples.walking import HumanoidWalkingConfig, HumanoidWalkingTask
from ksim.envs import ContinuousActions
from tests.small_cartpole import small_config, small_task
from tests.small_mujoco_task import SmallMujocoConfig, SmallMujocoTask

SUCKER = """
<mujoco>
  <worldbody>
    <body name="cup"><joint name="hinge"/><geom name="cup" size="0.1"/></body>
  </worldbody>
  <actuator><adhesion body="cup" ctrlrange="0 1"/><motor joint="hinge" ctrlrange="-1 1"/></actuator>
</mujoco>
"""


def small_mujoco_task(**hooks):
    """A small task of which some hooks return something else."""
    methods = {name: lambda self, model, value=value: value(model) for name, value in hooks.items()}
    return type("OtherTask", (SmallMujocoTask,), methods)(SmallMujocoConfig(num_devices=1))


def test_wrong_options_fail_when_the_task_is_made():
    with pytest.raises(ksim.ConfigError, match="num_envs=0: must be at least 1"):
        small_task(num_envs=0)


@pytest.mark.parametrize(
    ("task", "config", "message"),
    [
        (
            SmallMujocoTask,
            SmallMujocoConfig,
            r"got the class SmallMujocoConfig.*Write SmallMujocoTask\(SmallMujocoConfig\(\)\)",
        ),
        (SmallMujocoTask, {"num_envs": 8}, "got a dict, and a config that derives from Distrib"),
        (SmallMujocoTask, ksim.PPOConfig(), r"got a PPOConfig.*from DistributedPPOConfig is"),
        (HumanoidWalkingTask, ksim.RLConfig(), r"got a RLConfig.*from PPOConfig is needed"),
    ],
)
def test_a_config_of_another_task(task, config, message, monkeypatch):
    # As in a user's program: jaxtyping would say it in its own words.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(TypeError, match=message):
        task(config)
    with pytest.raises(TypeError, match=message):
        task.launch(config, ())


def test_terms_by_name_or_as_a_list():
    environment = small_mujoco_task().environment
    names = {family: list(terms) for family, terms in environment.terms.families().items()}
    assert names == {
        "actuators": ["torque"],  # the default: one term, alone
        "observations": ["position", "velocity", "command", "last_action"],  # a dictionary
        "rewards": ["angle", "action_rate"],
        "terminations": ["moved", "time_out"],
        "commands": ["turn"],
        "resets": ["joint_position", "joint_velocity"],  # a list, named after the classes
        "events": ["wind"],
        "randomizers": ["mass"],
    }
    assert environment.action_space == ContinuousActions(1)
    assert environment.ctrl_dt == 0.02


def test_time_steps_and_solver_are_the_options():
    config = SmallMujocoConfig(dt=0.004, ctrl_dt=0.02, iterations=3, ls_iterations=7)
    model = SmallMujocoTask(config).environment.model
    assert model.num_substeps == 5
    option = model.mj_model.opt
    assert (option.timestep, option.iterations, option.ls_iterations) == (0.004, 3, 7)


@pytest.mark.parametrize(
    ("option", "engine"),
    [("auto", ksim.NativeEngine), ("mujoco", ksim.NativeEngine), ("mjx", ksim.MjxEngine)],
)
def test_engine_is_the_option(option, engine, tmp_path, capsys):
    config = SmallMujocoConfig(
        engine=option, num_devices=1, max_steps=1, run_dir=str(tmp_path / "run")
    )
    task = SmallMujocoTask(config)
    assert isinstance(task.environment.engine, engine)
    with jax.numpy_rank_promotion("allow"):  # MJX broadcasts
        task.run()
    printed = capsys.readouterr().out.replace("\n", " ")
    assert f"Physics: {task.environment.engine.description}" in printed
    assert ("engine=auto, and the devices are a cpu" in printed) == (option == "auto")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GravityTorqueReward(ksim.Reward):
    """Reads a field that no term of ksim's reads."""

    def __call__(self, state, carry):
        return jnp.sum(jnp.abs(state.physics.qfrc_bias)), carry


def test_native_data_holds_what_the_terms_read():
    fields = set(small_mujoco_task().environment.engine.initial_data().fields)
    assert {"time", "qpos", "qvel", "ctrl"} <= fields
    assert not {"qfrc_bias", "xanchor"} & fields
    hooks = {"get_rewards": lambda model: [GravityTorqueReward()]}
    fields = set(small_mujoco_task(**hooks).environment.engine.initial_data().fields)
    assert "qfrc_bias" in fields and "xanchor" not in fields


def with_scale(scale):
    """A reward with any scale; the types that tests check would refuse some of them."""
    reward = ksim.AliveReward()
    object.__setattr__(reward, "scale", scale)
    return reward


@pytest.mark.parametrize(
    ("hooks", "error", "message"),
    [
        (
            {"get_rewards": lambda model: [ksim.AliveReward(), ksim.AliveReward()]},
            ValueError,
            "Two terms are called 'alive' after their class AliveReward. Give a dictionary",
        ),
        (
            {"get_rewards": lambda model: [ksim.LastActionObservation()]},
            TypeError,
            "must be a Reward, found LastActionObservation",
        ),
        ({"get_rewards": lambda model: []}, ValueError, r"get_rewards\(\) gave no rewards"),
        (
            {"get_rewards": lambda model: {"total": ksim.AliveReward()}},
            ValueError,
            'A reward cannot be called "total": the sum of all is logged by this name',
        ),
        *(
            (
                {"get_rewards": lambda model, scale=scale: [with_scale(scale)]},
                ValueError,
                r'"alive" has scale=.*must be a finite number. Write scale=1.0',
            )
            for scale in ("big", None, float("nan"), (1.0, 2.0))
        ),
        ({"get_observations": lambda model: {}}, ValueError, "gave no observations"),
        ({"get_actuators": lambda model: []}, ValueError, "gave no actuators"),
        (
            {"get_rewards": lambda model: None},
            TypeError,
            r"get_rewards returned None, and a dictionary or a list of Reward terms is needed",
        ),
        ({"get_resets": lambda model: "stand"}, TypeError, "get_resets returned a str"),
    ],
)
def test_hooks_that_do_not_fit(hooks, error, message):
    with pytest.raises(error, match=message):
        small_mujoco_task(**hooks).build()


def test_a_class_instead_of_a_term(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    message = r"^'alive' must be a Reward, found the class AliveReward\. Write AliveReward"
    with pytest.raises(TypeError, match=message):
        small_mujoco_task(get_rewards=lambda model: [ksim.AliveReward]).build()


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (None, TypeError, r"OtherTask.get_mujoco_model returned None, and a mujoco.MjModel is"),
        ("robot.xml", TypeError, r"returned a str.*Write `return ksim.load_mjcf"),
        (mujoco.MjSpec(), TypeError, r"returned a MjSpec.*`return spec.compile\(\)`"),
        (
            mujoco.MjModel.from_xml_string(SUCKER),
            ValueError,
            r"MJX cannot step this model: .*mjTRN_BODY.*Write engine=mujoco",
        ),
    ],
)
def test_models_that_do_not_fit(model, error, message):
    methods = {"get_mujoco_model": lambda self: model}
    task = type("OtherTask", (SmallMujocoTask,), methods)
    with pytest.raises(error, match=message):
        task(SmallMujocoConfig(num_devices=1, engine="mjx")).build()


def test_a_time_step_other_than_the_models_is_said():
    """The pendulum's own is 0.005 s."""
    for dt in (0.005, 0.01):
        config = SmallMujocoConfig(dt=dt, num_devices=1)
        notes = SmallMujocoTask(config).build().notes
        assert ("dt" in notes) == (dt == 0.01)
    assert notes["dt"] == "the model's own time step would be 0.005 s."


def test_servos_that_a_time_step_is_too_long_for_are_said():
    class StiffTask(SmallMujocoTask):
        def get_actuators(self, physics_model):
            return ksim.PositionActuators.create(physics_model, kp=1.0, kd=100.0, torque_limit=1.0)

    notes = StiffTask(SmallMujocoConfig(num_devices=1)).build().notes
    assert "too long for the servos of hinge, which will shake ever harder. Lower kp" in notes["dt"]


def test_a_model_may_be_given_to_several_tasks():
    kept = small_mujoco_task().get_mujoco_model()

    class WeakTask(SmallMujocoTask):
        def get_mujoco_model(self):
            return kept

        def get_actuators(self, physics_model):
            return ksim.PositionActuators.create(physics_model, kp=1.0, kd=0.0, torque_limit=1.0)

    class MotorTask(WeakTask):
        def get_actuators(self, physics_model):
            return ksim.TorqueActuators.create(physics_model)

    assert WeakTask(SmallMujocoConfig(num_devices=1)).environment.model.dt == 0.01
    motors = MotorTask(SmallMujocoConfig(num_devices=1)).environment.terms.actuators["torque"]
    assert motors.torque_ranges == ((-6.0, 6.0),)
    assert kept.opt.timestep == 0.005


@pytest.mark.parametrize("hook", ["get_mujoco_model", "get_observations", "get_rewards"])
def test_a_hook_that_is_missing_is_named(hook):
    class Incomplete(SmallMujocoTask):
        pass

    setattr(Incomplete, hook, getattr(ksim.PPOTask, hook))
    with pytest.raises(NotImplementedError, match=f"Incomplete must override {hook}"):
        Incomplete(SmallMujocoConfig(num_devices=1)).build()


class WrongReward(ksim.CartPole):
    def step(self, state, action, key):
        state, timestep = super().step(state, action, key)
        return state, timestep.replace(reward=jnp.ones(2))


class TakenName(ksim.CartPole):
    def step(self, state, action, key):
        state, timestep = super().step(state, action, key)
        return state, timestep.replace(metrics={"episode/return": jnp.float32(1)})


class WrongActions(ksim.CartPole):
    action_space = 2


class NoTime(ksim.CartPole):
    ctrl_dt = 0.0


@pytest.mark.parametrize(
    ("environment", "error", "message"),
    [
        (None, TypeError, "returned a NoneType. Derive from ksim.Environment"),
        (NoTime, TypeError, r"returned the class NoTime. Give an object of it: NoTime\(\)"),
        (ksim.envs.AutoResetWrapper(WrongReward()), TypeError, "WrongReward breaks the rule"),
        (WrongActions(), TypeError, r"WrongActions .* action_space is 2. Instead, return Contin"),
        (WrongReward(), TypeError, r"WrongReward .* reward is float32\[2\]. Instead, give"),
        (TakenName(), ValueError, r'every run logs "episode/return".*write "my_episode/return"'),
        (NoTime(), ValueError, r"NoTime .* ctrl_dt is 0.0. Instead, write ctrl_dt = 0.02"),
    ],
)
def test_worlds_that_break_the_contract(environment, error, message, monkeypatch):
    # As in a user's program: jaxtyping would say it in its own words.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    methods = {"get_environment": lambda self: environment}
    with pytest.raises(error, match=message):
        type("OtherTask", (CartPoleTask,), methods)(small_config()).build()


def test_a_curriculum_is_made_from_the_model_also_of_a_wrapped_world():
    given = []

    class WrappedTask(SmallMujocoTask):
        def get_environment(self):
            return ksim.envs.AutoResetWrapper(super().get_environment())

        def get_curriculum(self, physics_model):
            given.append(physics_model)
            return super().get_curriculum(physics_model)

    program = WrappedTask(SmallMujocoConfig(num_devices=1)).build()
    assert given == [program.environment.unwrapped.model]


def test_a_program_is_what_the_options_say():
    program = small_task(num_devices=2, gamma=0.9, lam=0.8, entropy_coef=0.5).build()
    assert program.task_name == "cart_pole"
    assert (program.num_envs, program.rollout_length) == (16, 16)
    algorithm = program.algorithm
    assert (algorithm.num_batches, algorithm.num_passes) == (2, 2)
    assert (algorithm.gamma, algorithm.lam, algorithm.coefficients.entropy_coef) == (0.9, 0.8, 0.5)
    assert program.has_normalizer
    assert not small_task(is_observation_normalized=False).build().has_normalizer


def test_a_rollout_in_seconds():
    """Control steps of 0.02 s: 0.5 s are 25 of them."""
    task = small_task(rollout_length_frames=None, rollout_length_seconds=0.5)
    assert task.build().rollout_length == 25


def test_building_makes_no_files(tmp_path):
    small_task(run_dir=f"{tmp_path}/run").build()
    assert list(tmp_path.iterdir()) == []


def test_command_line_overrides_defaults_and_yaml_files(tmp_path, monkeypatch):
    (tmp_path / "small.yaml").write_text("num_envs: 8\nbatch_size: 4\nseed: 7\n")
    built = []
    monkeypatch.setattr(type(small_task()), "run", lambda task: built.append(task.config))
    type(small_task()).launch(small_config(), ["num_envs=12", "small.yaml"])
    (config,) = built
    assert (config.num_envs, config.batch_size, config.seed) == (12, 4, 7)
    assert config.hidden_sizes == small_config().hidden_sizes


def test_help_lists_the_options_and_ends(capsys):
    with pytest.raises(SystemExit) as stop:
        HumanoidWalkingTask.launch(HumanoidWalkingConfig(), ["--help"])
    assert stop.value.code == 0
    output = capsys.readouterr().out
    for name in ("num_envs", "batch_size", "max_push", "run_dir", "gamma", "ctrl_dt"):
        assert name in output


def test_options_of_a_subclass_of_the_config():
    @dataclass
    class Config(SmallMujocoConfig):
        """Options of a subclass."""

        strength: float = ksim.option(2.0, help="How strong.", above=0)

    assert SmallMujocoTask(Config(strength=3.0)).config.strength == 3.0
    with pytest.raises(ksim.ConfigError, match=r"strength=-1\.0: must be above 0"):
        SmallMujocoTask(Config(strength=-1.0))
