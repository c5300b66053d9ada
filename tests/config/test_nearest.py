"""Did-you-mean."""

from ksim.config import did_you_mean, nearest, unknown_name_message

BODIES = ("torso", "pelvis", "left_foot")


def test_nearest_finds_typing_errors_and_wrong_case():
    assert nearest("torsoo", BODIES) == "torso"
    assert nearest("Left-Foot", BODIES) == "left_foot"
    assert nearest("TORSO", ["Torso"]) == "Torso"


def test_nearest_of_something_quite_different_is_none():
    assert nearest("xyz", BODIES) is None
    assert nearest("torso", []) is None
    assert did_you_mean("xyz", BODIES) == ""


def test_message_lists_what_exists_and_names_the_nearest():
    assert unknown_name_message("torsoo", BODIES, kind="body") == (
        'no such body in the model. Bodies: torso, pelvis, left_foot. Did you mean "torso"?'
    )


def test_message_without_a_near_name_makes_no_guess():
    assert unknown_name_message("xyz", ["a"], kind="reward", place="in the task") == (
        "no such reward in the task. Rewards: a."
    )


def test_a_long_list_is_cut_but_searched_to_its_end():
    names = [f"joint_{i:02d}" for i in range(30)] + ["ankle"]
    message = unknown_name_message("ankel", names, kind="joint")
    assert "joint_19, ... (31 in all)." in message
    assert "joint_20" not in message
    assert message.endswith('Did you mean "ankle"?')


def test_nothing_exists():
    assert unknown_name_message("a", [], kind="sensor") == (
        "no such sensor in the model: there are no sensors."
    )
