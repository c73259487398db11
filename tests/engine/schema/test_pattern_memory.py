from midfill.engine.schema.pattern_memory import MOST_PARTS, PatternMemory


class Owner:
    """What a share is of."""


def test_one_may_have_a_part_of_all() -> None:
    memory = PatternMemory(100)
    owners = [Owner() for _ in range(MOST_PARTS + 1)]
    shares = [memory.share_of(owner) for owner in owners]
    assert shares[0].take(25)
    assert not shares[0].take(1)
    assert [share.take(25) for share in shares[1:]] == [True] * (MOST_PARTS - 1) + [False]
    assert memory.left == 0


def test_what_one_had_is_there_again_when_it_is_gone() -> None:
    memory = PatternMemory(100)
    owner = Owner()
    assert memory.share_of(owner).take(20)
    assert memory.left == 80
    del owner
    assert memory.left == 100
