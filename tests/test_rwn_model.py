"""The hiding network: near the identity at first, exactly invertible always, of any useful size."""

import numpy as np
import pytest
import torch

from course_lib.errors import UsageError
from course_lib.rwn.model import (
    NULL,
    Hider,
    SeparateNetworks,
    TamperNet,
    hider,
    local_correlation,
)
from course_lib.rwn.tamper import likeness

SMALL = {"down": (0, 1, 1), "up": (1, 0, 0), "width": 8}


@pytest.fixture
def both():
    torch.manual_seed(0)
    return torch.rand(2, 3, 64, 48), torch.rand(2, 1, 64, 48)


def test_what_is_hidden_is_revealed_exactly_with_the_true_rest(both):
    net = Hider(**SMALL).double()
    with torch.no_grad():
        for weight in net.parameters():
            weight += 0.05 * torch.randn_like(weight)
    pictures, watermarks = (x.double() for x in both)
    protected, rest = net.hide(pictures, watermarks)
    assert (protected - pictures).abs().max() > 1e-3
    restored, found = net.reveal(protected, rest)
    torch.testing.assert_close(restored, pictures, rtol=0, atol=1e-10)
    torch.testing.assert_close(found, watermarks, rtol=0, atol=1e-10)


def test_without_the_rest_a_constant_takes_its_place(both):
    net = Hider(**SMALL)
    protected, _ = net.hide(*both)
    with_constant = net.reveal(protected, torch.full_like(both[1], NULL))
    for a, b in zip(net.reveal(protected), with_constant, strict=True):
        torch.testing.assert_close(a, b)


def test_an_untrained_network_changes_little(both):
    torch.manual_seed(1)
    protected, rest = Hider().hide(torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64))
    assert 0 < (protected - protected.round()).abs().mean() < 0.5
    near, _ = Hider(**SMALL).hide(*both)
    assert (near - both[0]).abs().mean() < 0.08
    assert rest.shape == (1, 1, 64, 64)


def test_the_papers_network_has_six_blocks_of_couplings():
    from course_lib.invertible import AffineCoupling, HaarDown, HaarUp

    layers = [type(layer) for layer in Hider().net.layers]
    assert layers.count(AffineCoupling) == 10
    assert layers.count(HaarDown) == layers.count(HaarUp) == 3


def test_a_passage_holds_what_was_seen(both):
    whole = torch.tensor([[0.0, 0, 1, 1]]).expand(2, 4)
    passage = Hider(**SMALL)(*both, lambda shown: (shown.clamp(0, 1), whole))
    torch.testing.assert_close(passage.seen, passage.protected.clamp(0, 1))
    assert passage.found.shape == both[1].shape and passage.restored.shape == both[0].shape


def test_separate_networks_hide_and_reveal_apart(both):
    net = SeparateNetworks(width=8, blocks=1)
    protected, rest = net.hide(*both)
    assert protected.shape == both[0].shape and (rest == NULL).all()
    before = net.reveal(protected.detach())
    with torch.no_grad():
        for weight in net.hiding.parameters():
            weight += 1
    for a, b in zip(before, net.reveal(protected.detach()), strict=True):
        torch.testing.assert_close(a, b)


def test_a_network_is_made_from_its_card():
    made = hider({"network": "separate", "width": 8, "blocks": 1})
    assert isinstance(made, SeparateNetworks)
    assert type(hider({"down": [0, 1], "up": [1, 0], "width": 4})) is Hider
    with pytest.raises(UsageError, match="invertible, separate"):
        hider({"network": "magic"})


def test_marks_have_the_shape_of_pictures():
    pictures = torch.rand(2, 3, 64, 48)
    marks = TamperNet(8).eval()(pictures, torch.rand(2, 1, 64, 48))
    assert marks.shape == (2, 1, 64, 48)


def test_what_is_not_known_is_said_as_one_half():
    pictures, found = torch.rand(2, 3, 64, 48), torch.rand(2, 1, 64, 48)
    net = TamperNet(8).eval()
    unknown = torch.full_like(found, 0.5)
    assert torch.equal(net(pictures, found), net(pictures, found, unknown))
    assert not torch.equal(net(pictures, found), net(pictures, found, found))
    assert (local_correlation(found, unknown, 3.0).abs() < 1e-4).all()


def test_local_correlation_is_the_likeness_of_single_pictures():
    a, b = np.random.default_rng(0).random((2, 96, 96), dtype=np.float32)
    ours = local_correlation(*(torch.from_numpy(x)[None, None] for x in (a, b)), 4.0)[0, 0]
    theirs = likeness(a, b, sigma=4.0)
    inside = slice(40, 56)  # both mirror what lies outside, one of them the edge's pixel too
    assert np.allclose(ours[inside, inside], theirs[inside, inside], atol=2e-3)
