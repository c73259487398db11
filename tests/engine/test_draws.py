"""`midfill.engine.draws`: seeded, and distributed as asked."""

import torch

from midfill.engine.draws import Draws

CPU = torch.device("cpu")


def test_samples_follow_the_probabilities():
    probabilities = torch.tensor([0.5, 0.0, 0.3, 0.2, 0.0])
    drawn = Draws(0, CPU).sample(probabilities.expand(20_000, -1))
    shares = torch.bincount(drawn, minlength=5) / len(drawn)
    assert shares[1] == shares[4] == 0
    # Three standard deviations of the share of the first: 3 * sqrt(0.25 / 20000).
    torch.testing.assert_close(shares, probabilities, atol=0.011, rtol=0)


def test_a_certain_token_is_always_drawn():
    certain = torch.eye(7)[[0, 3, 6]].repeat(200, 1)
    assert torch.equal(Draws(1, CPU).sample(certain), certain.argmax(dim=-1))


def test_noise_covers_the_whole_vocabulary_and_follows_the_seed():
    noise = Draws(5, CPU).noise((3, 400), 16)
    assert sorted(set(noise.flatten().tolist())) == list(range(16))
    assert torch.equal(noise, Draws(5, CPU).noise((3, 400), 16))
    assert not torch.equal(noise, Draws(6, CPU).noise((3, 400), 16))
