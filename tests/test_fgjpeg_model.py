"""The networks of FG-JPEG: shapes and sizes, what quality changes, and what each block can know."""

import pytest
import torch

from course_lib.attacks.jpeg import to_blocks
from course_lib.errors import UsageError
from course_lib.fgjpeg.model import BINS, Controller, Generator, Predictor, Skip, Stem
from course_lib.fgjpeg.system import Simulator
from course_lib.fgjpeg.train import BUDGETS, COURSE, PAPERS

SMALL = {"sizes": (4, 4, 8, 16, 16)}


def parameters(net):
    return sum(each.numel() for each in net.parameters())


def stirred(net, scale=0.3):
    """A network whose corrections and controller no longer start near nothing."""
    for part in (*net.leave, *(each[-1] for each in net.controller.map)):
        torch.nn.init.normal_(part.weight, std=scale)
    return net


@pytest.mark.parametrize("config", [COURSE, SMALL, {**PAPERS, "sizes": (4, 4, 8, 8, 8)}])
@pytest.mark.parametrize("shape", [(64, 64), (48, 80), (37, 51)])
def test_files_have_the_pictures_size(config, shape):
    made = Generator(**config)(torch.rand(2, 3, *shape), torch.tensor([10.0, 100.0]))
    assert made.shape == (2, 3, *shape) and made.isfinite().all()


def test_it_starts_near_the_picture():
    pictures = torch.rand(2, 3, 32, 32)
    assert (Generator()(pictures, torch.tensor([10.0, 90.0])) - pictures).abs().mean() < 0.05


def test_shipped_weights_will_fit():
    for profile in ("cpu", "gpu"):
        assert 4 * parameters(Generator(**BUDGETS[profile].generator)) < 8e6
        assert 4 * parameters(Predictor(**BUDGETS[profile].predictor)) < 8e6


def test_the_papers_predictor_has_32_layers():
    net = Predictor(**BUDGETS["gpu"].predictor)
    convolutions = [
        each for each in net.body.modules() if isinstance(each, torch.nn.Conv2d)
        and each.kernel_size == (3, 3)
    ]  # fmt: skip
    assert len(convolutions) + 1 + 1 == 32  # the stem's three side by side, and the linear layer
    assert net(torch.rand(2, 3, 64, 64)).shape == (2, len(BINS))


def test_eq_4():
    skip = Skip(3, 3, "none")
    x, a, b = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 1, 1), torch.rand(2, 3, 1, 1)
    torch.testing.assert_close(skip(x, (a, b)), a * skip.block(x) + b)
    assert torch.equal(skip(x), skip.block(x))


def test_the_controller_has_six_layers_and_speaks_to_the_lower_three_levels():
    net = Generator(**SMALL)
    for each in net.controller.map:
        linear = [part for part in [*net.controller.read, *each] if hasattr(part, "in_features")]
        assert len(linear) == 6
    told = net.controller(torch.tensor([10.0, 50.0, 90.0]))
    assert [pair[0].shape for pair in told] == [(3, c, 1, 1) for c in (4, 8, 16)]


def test_a_controller_tells_qualities_apart_and_begins_near_doing_nothing():
    torch.manual_seed(0)
    scale, shift = Controller([32])(torch.tensor([10.0, 90.0]))[0]
    assert (scale - 1).abs().max() < 0.5 and shift.abs().max() < 0.5
    assert (scale[0] - scale[1]).abs().max() > 1e-3


@pytest.mark.parametrize("config", [SMALL, {**PAPERS, "sizes": (4, 4, 8, 8, 8)}])
def test_quality_matters_and_is_each_pictures_own(config):
    torch.manual_seed(1)
    net = stirred(Generator(**config)).eval()
    pictures = torch.rand(1, 3, 32, 32).expand(3, -1, -1, -1)
    made = net(pictures, torch.tensor([10.0, 90.0, 10.0]))
    assert (made[0] - made[1]).abs().max() > 1e-4
    torch.testing.assert_close(made[0], made[2])


def test_haar_knows_where_blocks_begin_and_bilinear_averages_do_not_lose_size():
    torch.manual_seed(2)
    net = stirred(Generator(**SMALL)).eval()
    pictures = torch.zeros(1, 3, 32, 32)
    pictures[..., 16:, 16:] = torch.rand(3, 1, 1)
    quality = torch.tensor([50.0])
    change = to_blocks(net(pictures, quality) - pictures)
    moved = pictures.roll((4, 4), (2, 3))
    elsewhere = to_blocks((net(moved, quality) - moved).roll((-4, -4), (2, 3)))
    assert (change - elsewhere).abs().max() > 1e-3  # shifted by half a block, other corrections


def test_gradients_reach_pictures_and_controller():
    net = stirred(Generator(**SMALL))
    pictures = torch.rand(2, 3, 32, 32, requires_grad=True)
    (net(pictures, torch.tensor([10.0, 60.0])) ** 2).sum().backward()
    assert pictures.grad.isfinite().all() and pictures.grad.abs().min() > 0
    for name, each in net.controller.named_parameters():
        assert each.grad.isfinite().all() and each.grad.abs().sum() > 0, name


def test_unknown_settings_are_refused():
    with pytest.raises(UsageError, match="bilinear"):
        Generator(scaling="nearest", bands=False)
    with pytest.raises(UsageError, match="haar with bands"):
        Generator(scaling="bilinear", bands=True)
    with pytest.raises(UsageError, match="instance, spectral or none"):
        Generator(norm="batch")


def test_spectral_norm_bounds_each_convolution():
    net = Generator(
        **{**SMALL, "norm": "spectral"},
    ).eval()
    weight = net.enter[0].weight.flatten(1)
    assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1, abs=0.3)


def test_the_stem_looks_in_three_ways():
    stem = Stem(5)
    assert stem.channels == 5 + 9 + 5
    flat = torch.full((4, 3, 16, 16), 0.5)
    stem.eval()
    seen = stem(flat)
    assert seen.shape == (4, 19, 16, 16)
    assert seen[:, 5:].abs().max() < 1e-3  # residuals of nothing


class TestSimulator:
    net = stirred(Generator(**SMALL))

    def test_one_quality_or_one_each(self):
        simulate = Simulator(self.net)
        pictures = torch.rand(3, 3, 40, 56)
        made = simulate(pictures, 50)
        assert made.shape == pictures.shape and made.min() >= 0 and made.max() <= 1
        torch.testing.assert_close(made, simulate(pictures, torch.tensor([50, 50, 50])))
        assert not torch.equal(made, simulate(pictures, torch.tensor([50, 50, 10])))

    def test_networks_learn_through_it_and_it_stays(self):
        simulate = Simulator(self.net)
        pictures = torch.full((1, 3, 32, 32), 0.5, requires_grad=True)
        (simulate(pictures, 30) * torch.rand(1, 3, 32, 32)).sum().backward()
        assert pictures.grad.abs().sum() > 0
        assert all(each.grad is None and not each.requires_grad for each in self.net.parameters())

    @pytest.mark.parametrize("quality", [0, 101, torch.tensor([50.0, 60.0]), float("nan")])
    def test_impossible_qualities(self, quality):
        with pytest.raises(UsageError, match="1 to 100"):
            Simulator(self.net)(torch.rand(3, 3, 32, 32), quality)
