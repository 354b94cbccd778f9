"""The one cache of the app: what it drops, what counts as use, and that threads may share it."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from qwen2vl_demo.lru_cache import CacheBudget, LRUCache


def filled(max_weight, *pairs):
    cache = LRUCache(max_weight, weight=len)
    for key, value in pairs:
        cache.put(key, value)
    return cache


def test_the_least_recently_used_value_goes_first():
    cache = filled(3, ("a", "x"), ("b", "x"), ("c", "x"))
    assert cache.get("a") == "x"
    cache.put("d", "x")
    assert [key in cache for key in "abcd"] == [True, False, True, True]


def test_looking_a_key_up_by_in_or_items_does_not_count_as_use():
    cache = filled(2, ("a", "x"), ("b", "x"))
    assert "a" in cache
    assert cache.items() == [("a", "x"), ("b", "x")]
    cache.put("c", "x")
    assert "a" not in cache


def test_weights_bound_the_cache_and_several_light_values_make_room_for_a_heavy_one():
    cache = filled(5, ("a", "x"), ("b", "xx"), ("c", "xx"))
    cache.put("d", "xxx")
    assert [key for key, _ in cache.items()] == ["c", "d"]
    assert (cache.weight, len(cache)) == (5, 2)


def test_a_value_heavier_than_the_budget_is_not_kept_and_drops_nothing_but_its_older_self():
    cache = filled(4, ("a", "xx"), ("b", "x"))
    cache.put("c", "xxxxx")
    assert [key for key, _ in cache.items()] == ["a", "b"]
    cache.put("a", "xxxxx")  # the old value of "a" would be wrong from now on
    assert cache.get("a") is None and cache.get("b") == "x"


def test_a_new_value_replaces_the_old_one_and_its_weight():
    cache = filled(4, ("a", "xxx"), ("a", "x"))
    assert (cache.get("a"), cache.weight, len(cache)) == ("x", 1, 1)


def test_pop_and_clear_remove():
    cache = filled(4, ("a", "x"), ("b", "y"))
    assert (cache.pop("a"), cache.pop("a"), len(cache)) == ("x", None, 1)
    cache.clear()
    assert (cache.get("b"), cache.weight) == (None, 0)


def test_without_a_weight_values_are_counted():
    cache: LRUCache[int, int] = LRUCache(2)
    for key in range(3):
        cache.put(key, key)
    assert [key for key, _ in cache.items()] == [1, 2]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.text("x", max_size=7))))
def test_the_budget_is_never_exceeded(pairs):
    cache = LRUCache(6, weight=len)
    for key, value in pairs:
        cache.put(key, value)
        assert cache.weight == sum(len(v) for _, v in cache.items()) <= 6
        assert cache.get(key) == (value if len(value) <= 6 else None)


def test_threads_may_share_one():
    cache = LRUCache(50, weight=len)
    problems = []

    def use(name):
        try:
            for index in range(2000):
                cache.put((name, index % 20), "x" * (index % 9))
                cache.get((name, (index + 7) % 20))
                cache.items()
        except Exception as problem:
            problems.append(problem)

    threads = [threading.Thread(target=use, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == [] and cache.weight <= 50


def test_caches_that_share_a_budget_drop_what_was_least_recently_used_in_all_of_them():
    budget = CacheBudget(4)
    one, other = LRUCache(budget, weight=len), LRUCache(budget, weight=len)
    one.put("k", "xx")
    other.put("k", "y")  # the same key is another value in another cache
    assert (one.get("k"), other.get("k"), budget.weight) == ("xx", "y", 3)
    other.put("l", "yy")
    assert (one.get("k"), other.items(), one.weight, other.weight) == (None, [("k", "y"), ("l", "yy")], 0, 3)
    one.put("k", "xxxx")
    assert (len(one), len(other), budget.weight) == (1, 0, 4)
    other.clear()
    assert one.get("k") == "xxxx"


def test_what_matches_is_removed_from_its_cache_only():
    budget = CacheBudget(9)
    one, other = LRUCache(budget), LRUCache(budget)
    for cache in (one, other):
        for key in (("a", 1), ("a", 2), ("b", 1)):
            cache.put(key, key)
    one.remove(lambda key: key[0] == "a")
    assert [key for key, _ in one.items()] == [("b", 1)]
    assert len(other) == 3
