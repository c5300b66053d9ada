"""A program may run when the call that started it has returned, and its engine is out of scope."""

import gc

import jax
import jax.numpy as jnp
import pytest

import ksim
from ksim import NativeEngine
from ksim.physics import EpisodeStart


def compiled_step():
    # A time step that no other test has: engines that step alike share what steps.
    model = ksim.PhysicsModel.create(
        ksim.load_mjcf(ksim.asset_path("pendulum.xml")), dt=0.0043, ctrl_dt=0.0086
    )
    engine = NativeEngine(model)
    start = EpisodeStart(qpos=jnp.zeros(model.mj_model.nq), qvel=jnp.zeros(model.mj_model.nv))
    ctrl = jnp.zeros(model.mj_model.nu)
    arguments = ({}, engine.initial_data(), ctrl, start, jnp.bool_(False))
    return jax.jit(engine.step).lower(*arguments).compile(), arguments


def test_a_program_finds_what_steps_when_the_engine_is_out_of_scope():
    step, arguments = compiled_step()
    gc.collect()
    assert jnp.isfinite(step(*arguments).qpos).all()


def test_no_more_than_a_few_are_kept():
    step, arguments = compiled_step()
    for index in range(8):
        NativeEngine(
            ksim.PhysicsModel.create(
                ksim.load_mjcf(ksim.asset_path("pendulum.xml")),
                dt=0.0044 + 0.0001 * index,
                ctrl_dt=0.0044 + 0.0001 * index,
            )
        )
    gc.collect()
    with pytest.raises(Exception, match="engine that is gone"):
        jax.block_until_ready(step(*arguments))
