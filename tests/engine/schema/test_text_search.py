from itertools import islice

from midfill.engine.schema.text_search import MAX_LENGTH, shortest_texts


def texts_to(goal: int, budget: int = 1000, start: int = 0) -> list[str]:
    """Texts whose a's, as 1, and b's, as 3, sum up to a multiple of 7 that is `goal` and more."""

    def step(state: int, char: str) -> int:
        return (state + (1 if char == "a" else 3)) % 7

    found = shortest_texts(start, "ab", step, lambda state: state == goal, lambda state: int(state != goal), budget)
    return list(islice(found, 4))


def test_texts_come_shortest_and_plainest_first() -> None:
    assert texts_to(4)[:2] == ["ab", "ba"]
    assert [len(text) for text in texts_to(5)] == sorted(len(text) for text in texts_to(5))


def test_start_that_is_a_goal_gives_the_empty_text_first() -> None:
    assert texts_to(3, start=3)[0] == ""


def test_search_ends_at_its_budget_and_at_the_longest_text() -> None:
    assert texts_to(4, budget=1) == []
    counting = shortest_texts(0, "a", lambda at, _: at + 1, lambda at: at > MAX_LENGTH, lambda _: 1, 10**9)
    assert list(counting) == []
