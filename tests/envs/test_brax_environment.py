"""Environments of brax's interface; brax itself is not needed."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import ksim
from ksim.testing import check_environment

DT = 0.1


@struct.dataclass
class State:
    """What a state of brax has."""

    pipeline_state: jax.Array
    obs: jax.Array | dict[str, jax.Array]
    reward: jax.Array
    done: jax.Array
    metrics: dict[str, jax.Array]
    info: dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Slider:
    """Slides along a line as fast as its action, plus noise, and is done beyond 1.

    Reward and metric are the position. Beyond `breaks_at` the position is no number.
    """

    noise: float = 0.0
    has_names: bool = False
    breaks_at: float = np.inf
    action_size = 1
    dt = DT

    def reset(self, rng):
        start, rng = jax.random.split(rng)
        position = jax.random.uniform(start, (), minval=-0.1, maxval=0.1)
        return self._state(position, rng)

    def step(self, state, action):
        rng, noise = jax.random.split(state.info["rng"])
        velocity = action[0] + self.noise * jax.random.normal(noise)
        return self._state(state.pipeline_state + DT * velocity, rng)

    def _state(self, position, rng):
        position = jnp.where(position > self.breaks_at, jnp.nan, position)
        seen = jnp.stack([position, position**2])
        return State(
            pipeline_state=position,
            obs={"state": seen[:1], "privileged_state": seen} if self.has_names else seen,
            reward=position,
            done=(position > 1).astype(jnp.float32),
            metrics={"distance": position},
            info={"rng": rng},
        )


def walk(environment, actions):
    """Resets and steps; returns the first state and the timesteps, `[T]` each."""
    state, _ = first = environment.reset(jax.random.key(0))
    timesteps = []
    for action in actions:
        state, timestep = environment.step(state, jnp.array([action]), jax.random.key(1))
        timesteps.append(timestep)
    return first, jax.tree.map(lambda *leaves: np.stack(leaves), *timesteps)


@pytest.mark.parametrize("slider", [Slider(noise=0.5), Slider(has_names=True)])
def test_it_keeps_the_contract(slider):
    check_environment(ksim.BraxEnvironment(slider, episode_length=20), num_steps=50)


def test_it_does_what_the_environment_within_does():
    slider, key = Slider(noise=0.5), jax.random.key(0)
    environment = ksim.BraxEnvironment(slider)
    assert environment.ctrl_dt == DT
    assert environment.action_space == ksim.ContinuousActions(1)
    (first, observations), timesteps = walk(environment, [0.3, -0.4])
    expected = slider.reset(jax.random.key_data(key))
    assert observations.keys() == {"state"}
    np.testing.assert_array_equal(observations["state"], expected.obs)
    assert first.num_steps == 0
    for step, action in enumerate([0.3, -0.4]):
        expected = slider.step(expected, jnp.array([action]))
        np.testing.assert_array_equal(timesteps.observations["state"][step], expected.obs)
        assert timesteps.reward[step] == expected.reward == timesteps.metrics["distance"][step]


def test_names_of_observations_stay():
    environment = ksim.BraxEnvironment(Slider(has_names=True))
    _, observations = environment.reset(jax.random.key(0))
    shapes = {name: array.shape for name, array in observations.items()}
    assert shapes == environment.observation_shapes() == {"state": (1,), "privileged_state": (2,)}


def test_actions_are_clipped():
    (first, _), timesteps = walk(ksim.BraxEnvironment(Slider()), [5.0, -7.0])
    start = float(first.environment.pipeline_state)
    np.testing.assert_allclose(timesteps.reward, [start + DT, start], atol=1e-6)


def test_done_is_a_failure_and_the_length_a_time_out():
    _, timesteps = walk(ksim.BraxEnvironment(Slider(), episode_length=8), [1.0] * 12)
    is_done, is_over = timesteps.reward > 1, np.arange(1, 13) >= 8
    assert is_done.any() and (is_over & ~is_done).any()
    np.testing.assert_array_equal(timesteps.is_terminated, is_done)
    np.testing.assert_array_equal(timesteps.is_truncated, is_over)
    np.testing.assert_array_equal(timesteps.terminations["done"], is_done)
    np.testing.assert_array_equal(timesteps.terminations["time_out"], is_over)
    assert not timesteps.terminations["diverged"].any()


class Cut(Slider):
    """As an EpisodeWrapper makes of it: done, and truncated, beyond 0.5."""

    def _state(self, position, rng):
        is_cut = (position > 0.5).astype(jnp.float32)
        state = super()._state(position, rng)
        return state.replace(done=is_cut, info=state.info | {"truncation": is_cut})


def test_what_is_done_since_it_was_truncated_is_a_time_out():
    _, timesteps = walk(ksim.BraxEnvironment(Cut()), [1.0] * 8)
    is_cut = timesteps.reward > 0.5
    assert is_cut.any()
    np.testing.assert_array_equal(timesteps.is_truncated, is_cut)
    np.testing.assert_array_equal(timesteps.terminations["time_out"], is_cut)
    assert not timesteps.is_terminated.any()


def test_what_is_no_number_ends_the_episode():
    _, timesteps = walk(ksim.BraxEnvironment(Slider(breaks_at=0.5)), [1.0] * 8)
    has_diverged = timesteps.terminations["diverged"]
    assert has_diverged.any() and not has_diverged.all()
    np.testing.assert_array_equal(timesteps.is_terminated, has_diverged)
    for values in (
        timesteps.reward,
        timesteps.observations["state"],
        timesteps.metrics["distance"],
    ):
        assert np.isfinite(values).all() and not values[has_diverged].any()


class SliderTask(ksim.DistributedPPOTask):
    """Slide to the right."""

    def get_environment(self):
        return ksim.BraxEnvironment(Slider(noise=0.1, breaks_at=0.95), episode_length=30)


def test_it_is_learned_on_two_devices(tmp_path):
    config = ksim.DistributedPPOConfig(
        num_devices=2,
        num_envs=16,
        batch_size=8,
        rollout_length_frames=16,
        max_steps=20,
        gamma=0.9,
        learning_rate=1e-2,
        hidden_sizes=(16,),
        eval_length_seconds=1.0,
        run_dir=f"{tmp_path}/run",
    )
    result = SliderTask(config).run()
    assert result.metrics["termination/diverged"] + result.metrics["termination/time_out"] == 1
    assert result.metrics["distance"] > 0.3


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        (ksim.CartPole(), "found <ksim.*, without action_size"),
        (Slider, "found <class .*Slider'>"),
        (types.SimpleNamespace(reset=1, step=1, action_size=1), "without dt"),
    ],
)
def test_what_is_no_such_environment_is_refused(environment, told):
    with pytest.raises(TypeError, match=told) as error:
        ksim.BraxEnvironment(environment)
    assert "brax.envs.get_environment(name)" in str(error.value)


class Copies(Slider):
    """As brax's wrappers make of it."""

    def reset(self, rng):
        return jax.vmap(super().reset)(jax.random.split(rng, 4))


class Measured(Slider):
    """Logs an array."""

    def _state(self, position, rng):
        return super()._state(position, rng).replace(metrics={"place": jnp.stack([position])})


def test_other_rules_are_those_of_every_environment():
    rule = r'BraxEnvironment breaks the rule ".*metrics are single numbers.*metrics.*place'
    with pytest.raises(TypeError, match=rule):
        check_environment(ksim.BraxEnvironment(Measured()))


class Tuples(Slider):
    """As Gymnax would have it."""

    def reset(self, rng):
        return super().reset(rng).obs, rng


def test_states_of_another_kind_are_refused():
    with pytest.raises(TypeError, match=r"Copies has wrappers: its reward is .* shape \(4,\)"):
        ksim.BraxEnvironment(Copies())
    with pytest.raises(TypeError, match="A state of Tuples is a tuple, without obs"):
        ksim.BraxEnvironment(Tuples())


def test_an_episode_has_steps():
    with pytest.raises(ValueError, match="Write episode_length=1000"):
        ksim.BraxEnvironment(Slider(), episode_length=0)
