"""Whose a stream is, by its key."""

import json

import pytest

from nbstream.owner import USER_NAME, key_of, owner_of, owns, scope_of, without_owner

SCOPES = (
    "/home/jovyan/a.ipynb",
    "process:1f",
    "user:bob:/x",
    "user:alice",
    "user:",
    "",
    "käse:\n",
    "user:a b:/x",
    '"]',
)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("user", ["alice", "a", "alice.b@example.org", "al-ice_1"])
def test_a_key_is_its_owners_and_nobody_elses(user, scope):
    """Owned once, it stays as it is; the owner is found again, the notebook too; no other name owns it."""
    mine = scope_of(user, scope)
    assert scope_of(user, mine) == mine
    assert without_owner(mine) == scope
    key = key_of(user, json.dumps([scope, "cell:1", 0]))
    assert key == json.dumps([mine, "cell:1", 0])
    assert key_of(user, key) == key
    assert owner_of(key) == user
    assert owns(user, key)
    assert not any(
        owns(other, key) for other in ("bob", "ali", "alice.b", user + "x", user[:-1] or "b", "") if other != user
    )


def test_keys_of_two_users_never_meet():
    """Whatever scopes two users choose, spelled as the other's too, their keys differ."""
    keys = [{key_of(user, json.dumps([scope, "cell:1", 0])) for scope in SCOPES} for user in ("alice", "bob")]
    assert not keys[0] & keys[1]


def test_a_store_of_ones_own_has_no_owners():
    """A notebook's own key names nobody, also when its path begins in the same way."""
    for scope in ("/home/a.ipynb", "process:1", "user", "users:alice:/x"):
        assert owner_of(json.dumps([scope, "cell:1", 0])) is None
        assert without_owner(scope) == scope


@pytest.mark.parametrize("name", ["", "a:b", "a b", ".a", "a" * 65, 'a"', "ä", "a\n", "a/b"])
def test_what_is_no_name(name):
    """A name ends before the colon, and is spelled in JSON as it is."""
    assert not USER_NAME.fullmatch(name)
