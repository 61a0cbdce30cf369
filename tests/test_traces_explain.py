"""Explanations against the library grad-cam, against arithmetic, and on answers that are known."""

import inspect

import numpy as np
import pytest
import torch
import torchvision
from pytorch_grad_cam import GradCAM
from sklearn.decomposition import PCA
from torch import nn

from course_lib.errors import UsageError
from course_lib.teach.quote import quote
from course_lib.traces import explain
from course_lib.traces.examples import COURSE
from course_lib.traces.explain import embed, first_filters, grad_cam, patch_influence
from course_lib.traces.model import crop_detector, patch_net, resnet18


@pytest.fixture
def detector():
    torch.manual_seed(0)
    return settled(crop_detector("joint", "fringe", "course"))


def settled(detector):
    """Give BatchNorm statistics of some pictures, so that maps are neither dead nor huge."""
    detector.train()
    with torch.no_grad():
        for _ in range(2):
            detector(*photograph(4))
    return detector.eval()


def photograph(count=1):
    w, h = COURSE.thumbnail
    patches = torch.rand(count, 16, 3, COURSE.patch, COURSE.patch)
    coarse = nn.functional.interpolate(torch.rand(count, 3, 5, 7), (h, w), mode="bilinear")
    return patches, coarse


class OfThumbnail(nn.Module):
    """A joint detector as a function of the thumbnail only, with its logit as the only class."""

    def __init__(self, detector, patches):
        super().__init__()
        self.detector, self.patches = detector, patches

    def forward(self, thumbnail):
        return self.detector(self.patches, thumbnail).score[:, None]


@pytest.mark.parametrize("seed", range(4))
def test_grad_cam_of_a_joint_detector_equals_the_library(detector, seed):
    torch.manual_seed(seed + 10)
    patches, thumbnail = photograph()
    layer = detector.thumbnail.embed.layer4
    ours = grad_cam(detector, layer, (patches, thumbnail), lambda reading: reading.score)
    with GradCAM(OfThumbnail(detector, patches), [layer]) as library:
        theirs = library(input_tensor=thumbnail, targets=[lambda logit: logit[0]])[0]
    assert ours.shape == theirs.shape == thumbnail.shape[-2:]
    np.testing.assert_allclose(ours, theirs, atol=2e-5)
    assert np.ptp(ours) == 0 or ours.max() == pytest.approx(1, abs=1e-4)


def plain_network(inplace):
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=4),
        nn.ReLU(),
        nn.Conv2d(8, 6, 3, stride=2),
        nn.ReLU(inplace=inplace),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 10),
    ).eval()


@pytest.mark.parametrize("layer", ["layer3", "layer4"])
def test_grad_cam_of_a_torchvision_network_equals_the_library(layer):
    torch.manual_seed(3)
    network = torchvision.models.resnet18(weights=None, num_classes=10).eval()
    assert_as_the_library(network, network, layer)


def test_what_comes_behind_the_layer_may_work_in_place():
    # The library keeps maps that such a ReLU overwrites; it is given the same without.
    assert_as_the_library(plain_network(inplace=True), plain_network(inplace=False), "2")


def assert_as_the_library(network, for_library, layer):
    picture = nn.functional.interpolate(torch.rand(1, 3, 9, 9), (64, 96), mode="bicubic")
    best = int(network(picture).argmax())
    place = network.get_submodule(layer)
    ours = grad_cam(network, place, (picture,), lambda logits: logits[0, best])
    with GradCAM(for_library, [for_library.get_submodule(layer)]) as library:
        theirs = library(input_tensor=picture)[0]  # without targets: the best class
    assert ours.max() > 0.99
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_grad_cam_finds_the_place_and_leaves_the_network_alone():
    class Spot(nn.Module):
        """Its score is how much red there is."""

        def __init__(self):
            super().__init__()
            self.maps = nn.Conv2d(3, 2, 1, bias=False).requires_grad_(False)
            self.maps.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])[..., None, None])

        def forward(self, x):
            return self.maps(x).mean(dim=(2, 3)) @ torch.tensor([1.0, -1.0])

    network, picture = Spot().eval(), torch.zeros(1, 3, 20, 30)
    picture[0, 0, 4:8, 20:26] = 1  # red speaks for it
    picture[0, 2, 10:16, 2:9] = 1  # blue against it
    with torch.no_grad():  # frozen networks, too, must be asked with gradients
        heat = grad_cam(network, network.maps, (picture,), lambda score: score)
    np.testing.assert_allclose(heat, picture[0, 0].numpy(), atol=1e-6)
    assert not network.maps._forward_hooks
    assert network.maps.weight.grad is None
    nothing = grad_cam(network, network.maps, (picture,), lambda score: 0 * score)
    assert not nothing.any()


def test_grad_cam_takes_its_hook_off_when_the_network_fails():
    network = resnet18(width=4).eval()
    with pytest.raises(RuntimeError):
        grad_cam(network, network.layer4, (torch.zeros(1, 5, 64, 64),), lambda x: x[0, 0])
    assert not network.layer4._forward_hooks


def test_influence_is_that_of_the_patches_the_decision_reads(detector):
    patches, thumbnail = photograph()
    first = nn.Linear(1088, 1)
    with torch.no_grad():  # a decision that reads patches 2 and 11 only, the second against
        first.weight.zero_()
        first.weight[0, 2 * 64 : 3 * 64] = 3.0
        first.weight[0, 11 * 64 : 12 * 64] = -1.0
    detector.fusion = nn.Sequential(first, nn.Linear(1, 5, bias=False))
    detector.fusion[1].weight.data[:] = 1
    found = patch_influence(detector, patches[0], thumbnail[0])
    assert found.shape == (16,)
    with torch.no_grad():
        gray = detector.patch.embed(torch.full((1, 3, 48, 48), 0.5))[0]
        known = detector.patch.embed(patches[0])
    assert found[2] == pytest.approx(float(3 * (known[2] - gray).sum()), rel=1e-3, abs=1e-4)
    assert found[11] == pytest.approx(float(-(known[11] - gray).sum()), rel=1e-3, abs=1e-4)
    others = np.delete(found, [2, 11])
    np.testing.assert_allclose(others, 0, atol=1e-4)
    assert abs(found[2]) > 1e-2


def test_influence_leaves_its_inputs_alone_and_needs_patches(detector):
    patches, thumbnail = photograph()
    before = patches.clone()
    patch_influence(detector, patches[0], thumbnail[0])
    assert torch.equal(before, patches)
    with pytest.raises(UsageError, match="no patches"):
        patch_influence(
            crop_detector("global", thumbnail="course").eval(), patches[0], thumbnail[0]
        )


def test_filters_on_fringes_are_shown_as_what_they_do_to_colours():
    network = patch_net("fringe")
    with torch.no_grad():
        network.embed.fine.weight[0] = 0
        network.embed.fine.weight[0, 1, 2, 3] = 1.0  # red − green, at one place
    pictures = first_filters(network)
    assert pictures.shape == (24, 5, 5, 3)
    np.testing.assert_allclose(pictures[0, 2, 3], [1, 0, 0.5])  # red up, green down, blue nothing
    pictures[0, 2, 3] = 0.5
    np.testing.assert_allclose(pictures[0], 0.5)


def test_drawn_filters_answer_to_colours_as_the_network_does():
    network = patch_net("fringe")
    patch = torch.rand(3, 5, 5)
    red, green, blue = patch
    seen = torch.stack([green, 2 * (red - green), 2 * (blue - green)])
    answers = (network.embed.fine.weight.detach() * seen).sum(dim=(1, 2, 3)).numpy()
    drawn = first_filters(network).transpose(0, 3, 1, 2) - 0.5
    through = (drawn * patch.numpy()).sum(axis=(1, 2, 3))
    ratio = answers / through  # each filter has a size of its own, and nothing else differs
    assert (ratio > 0).all()
    np.testing.assert_allclose(np.abs(drawn).max(axis=(1, 2, 3)), 0.5, rtol=1e-6)
    other = torch.rand(3, 5, 5)
    seen = torch.stack([other[1], 2 * (other[0] - other[1]), 2 * (other[2] - other[1])])
    again = (network.embed.fine.weight.detach() * seen).sum(dim=(1, 2, 3)).numpy()
    np.testing.assert_allclose(
        ratio * (drawn * other.numpy()).sum(axis=(1, 2, 3)), again, rtol=1e-3, atol=1e-4
    )


def test_filters_of_other_networks():
    assert first_filters(resnet18(channels=5, width=8)).shape == (8, 7, 7, 3)
    plain = torchvision.models.resnet18(weights=None)
    pictures = first_filters(plain)
    weight = plain.conv1.weight.detach().numpy().transpose(0, 2, 3, 1)
    assert np.corrcoef(pictures[0].ravel(), weight[0].ravel())[0, 1] == pytest.approx(1)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    for wrong in (nn.Linear(3, 3), nn.Conv2d(1, 4, 3)):
        with pytest.raises(UsageError, match="colours"):
            first_filters(wrong)


def test_embedding_keeps_groups_together():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], 30)
    features = rng.normal(size=(3, 64))[group] * 3 + rng.normal(size=(90, 64))
    plane = embed(features, seed=1, perplexity=10)
    assert plane.shape == (90, 2)
    distance = np.linalg.norm(plane[:, None] - plane[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (group[distance.argmin(axis=1)] == group).mean() > 0.95
    np.testing.assert_array_equal(plane, embed(features, seed=1, perplexity=10))


def test_embedding_looks_at_the_strongest_dimensions_only():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 30)
    # Two strong directions that say nothing, and a weak one that says the group.
    features = np.column_stack([rng.normal(0, 20, 60), rng.normal(0, 20, 60), group + 0.0])
    near = embed(features, dimensions=2, perplexity=8)
    same = embed(PCA(2, random_state=0).fit_transform(features), dimensions=2, perplexity=8)
    np.testing.assert_allclose(near, same, atol=1e-3)
    assert embed(rng.normal(size=(12, 5)), perplexity=4).shape == (12, 2)  # fewer than 24 is fine
    with pytest.raises(UsageError, match="perplexity 30"):
        embed(features[:20])


def test_grad_cam_fits_in_a_lesson():
    source = inspect.getsource(grad_cam)
    assert len(source.split('"""')[2].strip().splitlines()) <= 20
    assert quote("course_lib.traces.explain.grad_cam")
    assert quote("course_lib.traces.explain.patch_influence")
    assert "pytorch_grad_cam" not in inspect.getsource(explain)
