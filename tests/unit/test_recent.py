from __future__ import annotations

from flow_engine.recent import Recent


def test_what_was_not_used_for_longest_goes_first() -> None:
    recent = Recent[int](2)
    recent.put("a", 1, 1)
    recent.put("b", 2, 1)
    assert recent.get("a") == 1
    recent.put("c", 3, 1)
    assert [recent.get(key) for key in "abc"] == [1, None, 3]


def test_large_values_leave_room_for_few() -> None:
    recent = Recent[str](256, most_bytes=10)
    for key in "abc":
        recent.put(key, key, 4)
    assert [recent.get(key) for key in "abc"] == [None, "b", "c"]


def test_the_last_value_stays_however_large_it_is() -> None:
    recent = Recent[str](256, most_bytes=10)
    recent.put("small", "s", 1)
    recent.put("large", "l", 100)
    assert (recent.get("small"), recent.get("large"), len(recent)) == (None, "l", 1)
    recent.put("large", "again", 9)
    recent.put("small", "s", 1)
    assert len(recent) == 2
