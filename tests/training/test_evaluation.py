"""The first episode of every environment, by the program that trains."""

import numpy as np
import pytest

from ksim.storage.checkpoint_folder import find_checkpoint
from ksim.training.evaluation import evaluation_seconds, first_episodes, run_episodes
from ksim.training.program import EVALUATE
from tests.small_cartpole import compiled_program, initial_states, numbers, small_task


def columns(*rows):
    """From one row for each environment to `[T, num_envs]`."""
    return np.array(rows).T


def test_first_episodes_by_hand():
    # Three environments, five steps. Every episode begins with a step that is none (is_valid
    # false). The first fails in its third step and starts another; the second times out in its
    # second; the third goes on.
    is_valid = columns([0, 1, 1, 0, 1], [0, 1, 0, 1, 1], [0, 1, 1, 1, 1]).astype(bool)
    is_done = columns([0, 0, 1, 0, 1], [0, 1, 0, 0, 1], [0, 0, 0, 0, 0]).astype(bool)
    is_terminated = columns([0, 0, 1, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]).astype(bool)
    reward = columns([0, 1, 2, 0, 50], [0, 4, 0, 60, 70], [0, 1, 1, 2, 5]).astype(np.float32)
    # Returns: 1 + 2 = 3; 4; 1 + 1 + 2 + 5 = 9. Mean 16/3; variance (9 + 16 + 81)/3 - (16/3)^2
    # = 106/3 - 256/9 = 62/9. Lengths: 2, 1, 4. One of three first episodes failed.
    episodes = first_episodes({}, reward, is_terminated, is_done, is_valid, ctrl_dt=0.02)
    np.testing.assert_array_equal(episodes.length, [2, 1, 4])
    np.testing.assert_array_equal(episodes.has_failed, [True, False, False])
    np.testing.assert_allclose(episodes.mean(reward), [3 / 2, 4, 9 / 4])
    # Two numbers a step, the second twice the first.
    both = np.stack([reward, 2 * reward], axis=-1)
    np.testing.assert_allclose(episodes.mean(both), [[3 / 2, 3], [4, 8], [9 / 4, 9 / 2]])
    assert episodes.metrics() == pytest.approx(
        {
            "eval/episode/return": 16 / 3,
            "eval/episode/return_std": np.sqrt(62 / 9),
            "eval/episode/length": 7 / 3,
            "eval/share_failed": 1 / 3,
        }
    )


def test_a_reward_that_is_not_counted_may_be_anything():
    reward = np.array([[np.nan], [2.0], [np.inf]])
    is_valid = np.array([[False], [True], [True]])
    is_done = np.array([[False], [True], [False]])
    metrics = first_episodes({}, reward, is_done, is_done, is_valid, ctrl_dt=0.02).metrics()
    assert metrics["eval/episode/return"] == 2


@pytest.fixture(scope="module")
def program():
    return small_task(num_devices=2).build()


@pytest.fixture(scope="module")
def compiled(program):
    return compiled_program(program)


def evaluate_untrained(program, compiled, iteration=0, seed=0, length_seconds=1.28):
    train_state, _ = initial_states(program)
    episodes = run_episodes(program, compiled.rollout, train_state, iteration, seed, length_seconds)
    return episodes.metrics()


def test_every_step_of_a_pole_counts_one(program, compiled):
    # 5 rollouts of 16 steps, of which the very first starts the episodes.
    metrics = evaluate_untrained(program, compiled, length_seconds=1.58)
    assert metrics["eval/episode/return"] == metrics["eval/episode/length"]
    assert 8 <= metrics["eval/episode/length"] <= 79
    # Who has not fallen has stood for all the 79 steps.
    assert metrics["eval/share_failed"] > 0 or metrics["eval/episode/length"] == 79


def test_it_is_deterministic_and_as_long_as_asked(program, compiled):
    """A rollout lasts 16 * 0.02 s = 0.32 s, and the very first step of all only begins."""
    calls = []

    def rollout(train_state, env_state, request):
        calls.append(program.partitioner.unreplicate_state(request))
        return compiled.rollout(train_state, env_state, request)

    train_state, _ = initial_states(program)
    for length_seconds, num_rollouts in ((0.16, 1), (0.3, 1), (0.32, 2), (1.26, 4)):
        calls.clear()
        run_episodes(program, rollout, train_state, 0, 0, length_seconds)
        assert [bool(request.is_deterministic) for request in calls] == [True] * num_rollouts
        assert [int(request.index) for request in calls] == list(range(num_rollouts))
        assert {int(request.stream) for request in calls} == {EVALUATE}


def test_an_evaluation_is_no_longer_than_asked(program, compiled):
    # A rollout has 16 steps of 0.02 s, of which the very first begins. No pole falls within 5
    # steps, whatever the policy does.
    lengths = {0.02: 1, 0.001: 1, 0.04: 2, 0.1: 5}
    for length_seconds, num_steps in lengths.items():
        metrics = evaluate_untrained(program, compiled, length_seconds=length_seconds)
        assert metrics["eval/episode/length"] == num_steps
        assert metrics["eval/episode/return"] == num_steps


def test_it_tells_how_far_it_is(program, compiled):
    train_state, _ = initial_states(program)
    shares = []
    run_episodes(program, compiled.rollout, train_state, 0, 0, 1.26, on_progress=shares.append)
    assert shares == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    ("given", "max_steps", "seconds"),
    [
        (None, None, 10.0),
        # 100 rollouts of 16 steps of 0.02 s are 32 s; 20 are 6.4 s, of which one step begins.
        (None, 100, 10.0),
        (None, 20, 6.38),
        (None, 1, 0.3),
        (7.0, 20, 7.0),
        (0.5, 1000, 0.5),
        (60.0, None, 60.0),
    ],
)
def test_a_short_run_is_not_evaluated_for_longer_than_it_trains(program, given, max_steps, seconds):
    config = small_task(eval_length_seconds=given, max_steps=max_steps).config
    assert evaluation_seconds(config, program) == pytest.approx(seconds)


def test_a_run_acts_in_an_evaluation_as_often_as_it_trains(tmp_path):
    trained = small_task(
        num_devices=2,
        max_steps=2,
        eval_length_seconds=None,
        rollout_length_frames=4,
        run_dir=f"{tmp_path}/run",
    ).run()
    # 2 rollouts of 4 steps, of which the first begins. No pole falls within 7.
    assert trained.metrics["eval/episode/length"] == 7


def test_another_iteration_or_seed_draws_other_episodes_and_the_same_draws_the_same(
    program, compiled
):
    first = evaluate_untrained(program, compiled)
    assert evaluate_untrained(program, compiled) == first
    assert evaluate_untrained(program, compiled, iteration=1) != first


def test_training_does_not_notice_an_evaluation(tmp_path):
    results = [
        small_task(
            num_devices=2, max_steps=3, run_dir=f"{tmp_path}/{name}", eval_every_n_steps=period
        ).run()
        for name, period in (("often", 1), ("at the end", None))
    ]
    often, at_the_end = (numbers(result.train_state) for result in results)
    for name, value in at_the_end.items():
        assert often[name].tobytes() == value.tobytes(), name


def test_run_mode_evaluate(tmp_path, capsys):
    """It says what the run's own last evaluation said, and leaves no run directory."""
    trained = small_task(num_devices=2, max_steps=2, run_dir=f"{tmp_path}/run").run()
    before = sorted(tmp_path.rglob("*"))
    capsys.readouterr()
    metrics = small_task(
        num_devices=2, run_mode="evaluate", load_from_ckpt_path=f"{tmp_path}/run"
    ).run()
    assert metrics == {
        name: value for name, value in trained.metrics.items() if name.startswith("eval/")
    }
    assert sorted(tmp_path.rglob("*")) == before
    output = capsys.readouterr().out
    assert f"{find_checkpoint(tmp_path / 'run').path}, 16 episodes:" in output
    assert "compiling the rollout" in output and "update" not in output
    for name in metrics:
        assert f"  {name} " in output


def test_run_mode_evaluate_needs_a_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="needs a checkpoint"):
        small_task(run_mode="evaluate").run()
    assert list(tmp_path.iterdir()) == []


def test_episodes_keep_the_observations_that_were_asked_for(tmp_path):
    small_task(num_devices=2, max_steps=1, run_dir=f"{tmp_path}/run").run()
    task = small_task(num_devices=2, load_from_ckpt_path=f"{tmp_path}/run", eval_length_seconds=0.5)
    name, shape = next(iter(task.environment.observation_shapes().items()))
    episodes = task.evaluate_episodes([name])
    # 0.5 s are 25 steps and one that begins, of 2 rollouts of 16.
    assert episodes.observations[name].shape == (26, 16, *shape)
    assert not episodes.is_counted[0].any() and episodes.is_counted[1].all()
    assert episodes.ctrl_dt == task.environment.ctrl_dt
    # Fresh episodes: CartPole starts within 0.05 of everything's middle.
    assert np.abs(episodes.observations[name][1]).max() <= 0.05
    with pytest.raises(KeyError, match=f"speling: no such observation. Observations: {name}"):
        task.evaluate_episodes(["speling"])


def test_a_policy_is_evaluated_in_any_number_of_environments(tmp_path):
    trained = small_task(num_devices=2, max_steps=1, run_dir=f"{tmp_path}/run").run()
    task = small_task(
        num_devices=1, num_envs=6, batch_size=6, load_from_ckpt_path=str(trained.path)
    )
    assert task.evaluate_episodes().length.shape == (6,)
