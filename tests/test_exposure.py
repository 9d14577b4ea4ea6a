from __future__ import annotations

import torch

from segcode.exposure import brightened


def test_a_dark_grey_is_brightened_to_the_luma_and_a_bright_one_stays():
    for grey, expected in ((0.1, 0.4), (0.39, 0.4), (0.6, 0.6), (1.0, 1.0)):
        assert torch.allclose(brightened(torch.full((2, 3, 4, 5), grey), 0.4), torch.tensor(expected))


def test_black_stays_black_and_finite():
    assert (brightened(torch.zeros(1, 3, 4, 5), 0.4) == 0).all()


def test_each_image_of_a_batch_has_its_own_exposure():
    torch.manual_seed(0)
    pair = torch.rand(2, 3, 8, 9) * torch.tensor([0.2, 1.0])[:, None, None, None]
    both = brightened(pair, 0.4)
    assert torch.equal(both, torch.cat([brightened(each[None], 0.4) for each in pair]))
    assert torch.equal(both[1], pair[1]), "the second is bright"
    assert 0.35 < float(both[0].mean()) < 0.45


def test_without_a_luma_nothing_changes():
    image = torch.rand(1, 3, 4, 5) / 4
    assert brightened(image, 0.0) is image
