"""`midfill.engine.lookahead`: what a text is guessed to go on with."""

from midfill.engine.lookahead import Lookahead


def test_what_followed_two_tokens_in_the_prompt_is_guessed():
    lookahead = Lookahead([1, 2, 3, 9, 2, 4, 1, 2, 5])
    assert lookahead.guess(1, 2) == 5  # the last time
    assert lookahead.guess(9, 2) == 4
    assert lookahead.guess(3, 2) is None


def test_what_the_model_said_counts_more_and_after_one_token_too():
    lookahead = Lookahead([1, 2, 3])
    lookahead.learn(1, 2, 8)
    assert lookahead.guess(1, 2) == 8
    assert lookahead.guess(6, 2) == 8
    lookahead.learn(5, 2, 9)
    assert lookahead.guess(1, 2) == 8
    assert lookahead.guess(6, 2) == 9


def test_other_text_counts_less_than_the_prompt_and_more_than_a_single_token():
    lookahead = Lookahead([1, 2, 3], lambda *two: {(1, 2): 7, (6, 2): 0}.get(two))
    assert lookahead.guess(1, 2) == 3
    assert lookahead.guess(6, 2) == 0
    lookahead.learn(5, 2, 9)
    assert lookahead.guess(6, 2) == 0
    assert lookahead.guess(4, 2) == 9


def test_a_prompt_of_one_token_says_nothing():
    assert Lookahead([4]).guess(4, 4) is None
