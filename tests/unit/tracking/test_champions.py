import pytest

from pipeline.tracking.champions import Champion, State, replay

A, B, C = Champion("1", "a"), Champion("2", "b"), Champion("3", "c")


def test_without_a_promotion_there_is_no_champion():
    assert (State().champion, State().previous) == (None, None)


def test_a_promoted_version_is_champion_and_the_one_before_it_previous():
    state = State().promote(A).promote(B).promote(C)
    assert (state.champion, state.previous, state.rejected) == (C, B, ())


def test_a_rollback_rejects_and_two_go_two_steps_back():
    state = State().promote(A).promote(B).promote(C).roll_back()
    assert (state.champion, state.previous, state.rejected) == (B, A, ("c",))
    state = state.roll_back()
    assert (state.champion, state.previous, state.rejected) == (A, None, ("c", "b"))


def test_the_same_network_in_another_wrapping_replaces_itself():
    newer = Champion("4", "b")
    assert State().promote(A).promote(B).promote(newer).champions == (A, newer)
    assert State().promote(A).promote(B).promote(C).promote(newer).champions == (A, C, newer)


def test_a_promotion_takes_the_rejection_back():
    state = State().promote(A).promote(B).roll_back().promote(B)
    assert (state.champions, state.rejected) == ((A, B), ())


def decided(version: str, network: str = "", promote: bool = True, **content: str) -> dict:
    return {"event": "decided", "version": version, "promote": promote, "onnx_sha256": network, **content}


def rolled_back(version: str, against: str, **content: str) -> dict:
    return {"event": "rolled back", "version": version, "against": against, **content}


def promoted(version: str, network: str) -> dict:
    return {"event": "promoted", "version": version, "onnx_sha256": network}


@pytest.mark.parametrize(
    ("events", "champions", "rejected"),
    [
        ([], "", ""),
        ([decided("1", "a", promote=False)], "", ""),
        ([decided("1", "a"), decided("2", "b", promote=False)], "a", ""),
        ([decided("1", "a"), decided("2", "b"), rolled_back("1", "2", onnx_sha256="a", rejected="b")], "a", "b"),
        # An event as older versions of the project wrote it.
        ([decided("1", "a"), decided("2", "b"), rolled_back("1", "2")], "a", "b"),
        ([decided("1", "a"), decided("2", "b"), rolled_back("1", "2"), promoted("2", "b")], "ab", ""),
        # A version that no longer exists is left out, and doesn't affect the place of the others.
        ([decided("1", "a"), decided("9", "gone"), decided("2", "b")], "ab", ""),
        ([decided("1", "a"), decided("9", "gone")], "a", ""),
        ([decided("8", "gone"), decided("9", "lost"), rolled_back("8", "9"), decided("1", "a")], "a", "lost"),
    ],
)
def test_the_state_follows_from_the_events(events, champions, rejected):
    here = {"1": A, "2": B}
    state = replay(events, lambda event: here.get(event["version"]))
    assert "".join(champion.network for champion in state.champions) == champions
    assert "".join(state.rejected) == rejected


def test_versions_may_have_other_numbers_now():
    state = replay(
        [decided("1", "a"), decided("2", "b")], lambda event: {"a": Champion("7", "a")}.get(event["onnx_sha256"])
    )
    assert state.champions == (Champion("7", "a"),)
