import pytest

from ksim.config.names import snake_case


@pytest.mark.parametrize(
    "name, expected",
    [
        ("Upright", "upright"),
        ("CartPole", "cart_pole"),
        ("MyPPO", "my_ppo"),
        ("MyPPOTask", "my_ppo_task"),
        ("H1Walking", "h1_walking"),
        ("KBot", "k_bot"),
        ("AngularVelocityXY", "angular_velocity_xy"),
    ],
)
def test_snake_case(name, expected):
    assert snake_case(name) == expected
