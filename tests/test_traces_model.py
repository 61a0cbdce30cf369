"""The networks of crop detection, against torchvision, against arithmetic, and at work."""

import numpy as np
import pytest
import torch
import torchvision
from scipy.ndimage import uniform_filter
from torch import nn

from course_lib.errors import UsageError
from course_lib.leaves import dead_leaves
from course_lib.lens import Lens
from course_lib.teach.quote import quote
from course_lib.traces import model
from course_lib.traces.model import (
    JOINT,
    ORDERS,
    BasicBlock,
    CropDetector,
    FringeInput,
    Fusion,
    bilinear_pool,
    box_mean,
    crop_detector,
    global_net,
    in_turns,
    parameter_count,
    patch_net,
    pooled_products,
    resnet18,
    resnet34,
    with_coordinates,
)

QUOTED = [
    "BasicBlock", "stage", "resnet18", "FringeInput", "bilinear_pool", "pooled_products",
    "FringeNet", "in_turns", "with_coordinates", "PatchNet", "GlobalNet", "Fusion", "CropDetector",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread_and_a_seed():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def shuffled_statistics(network: nn.Module) -> nn.Module:
    """Give BatchNorm layers statistics and weights that would show if they were misplaced."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return network


@pytest.mark.parametrize(
    ("ours", "theirs", "parameters"),
    [
        (resnet18, torchvision.models.resnet18, 11_689_512),
        (resnet34, torchvision.models.resnet34, 21_797_672),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_resnet_equals_torchvision(ours, theirs, parameters, training):
    reference = shuffled_statistics(theirs(weights=None))
    network = ours(outputs=1000)
    assert parameter_count(network) == parameter_count(reference) == parameters
    network.load_state_dict(reference.state_dict(), strict=True)  # names and shapes, too
    picture = torch.rand(2, 3, 96, 130)
    answers = [net.train(training)(picture) for net in (network, reference)]
    torch.testing.assert_close(*answers, rtol=1e-4, atol=1e-5)
    after = [net.state_dict()["layer4.1.bn2.running_mean"] for net in (network, reference)]
    torch.testing.assert_close(*after, rtol=1e-4, atol=1e-5)


def test_resnet_starts_as_torchvision_does():
    ours, theirs = resnet18(outputs=1000), torchvision.models.resnet18(weights=None)
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if a.dim() == 4:
            assert float(a.detach().std() / b.detach().std()) == pytest.approx(1, rel=0.05), name


def test_maps_are_what_the_mean_is_taken_of():
    network = resnet18(width=8).eval()
    picture = torch.rand(1, 3, 149, 224)
    maps = network.maps(picture)
    assert maps.shape == (1, 64, 5, 7)
    torch.testing.assert_close(network.fc(maps.mean((2, 3))), network(picture))


def test_block_without_weights_is_a_short_cut():
    block = BasicBlock(8, 8).eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 8, 6, 6)
    torch.testing.assert_close(block(x), x.clamp(min=0))


def test_sizes_of_the_paper():
    assert JOINT == 1088
    assert Fusion()[0].in_features == 1088
    fusion = (1088 + 1) * 512 + (512 + 1) * 256 + (256 + 1) * 5
    backbones = 11_689_512 - 513 * 1000 + 513 * 64, 21_797_672 - 513 * 1000 + 513 * 64
    more_channels = 2 * 64 * 7 * 7
    patch, thumbnail = backbones[0] + 65 * 16, backbones[1] + more_channels
    assert parameter_count(Fusion()) == fusion == 690_181
    assert parameter_count(patch_net()) == patch == 11_210_384
    assert parameter_count(global_net()) == thumbnail == 21_323_776
    assert parameter_count(crop_detector("joint")) == fusion + patch + thumbnail == 33_224_341
    assert parameter_count(crop_detector("patch")) == fusion + patch - 64 * 512
    assert parameter_count(crop_detector("global")) == fusion + thumbnail - 1024 * 512


def test_sizes_of_the_course():
    assert parameter_count(patch_net("course")) == 711_392
    assert parameter_count(patch_net("fringe")) == 104_872
    assert parameter_count(global_net("course")) == 711_920
    assert parameter_count(FringeInput()) == 0
    detector = crop_detector(patch="fringe", thumbnail="course")
    assert parameter_count(detector) * 4 < 8e6  # bytes: fits a shipped checkpoint


def test_box_mean_counts_only_what_is_inside():
    picture = torch.rand(1, 1, 20, 31)
    got = box_mean(picture, 9)[0, 0].numpy()
    seen = np.zeros((20, 31))
    for y, x in np.ndindex(20, 31):
        window = picture[0, 0, max(y - 4, 0) : y + 5, max(x - 4, 0) : x + 5]
        seen[y, x] = window.mean()
    np.testing.assert_allclose(got, seen, atol=1e-6)
    inner = uniform_filter(picture[0, 0].numpy(), 9)[4:-4, 4:-4]
    np.testing.assert_allclose(got[4:-4, 4:-4], inner, atol=1e-6)


def as_batch(*pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def test_fringes_of_a_picture_without_any():
    picture = as_batch(dead_leaves(96, 0))
    gray = picture[:, 1:2].expand(-1, 3, -1, -1)
    seen = FringeInput()(gray)
    assert float(seen[:, 0].square().mean().sqrt()) == pytest.approx(1, abs=0.3)
    assert float(seen[:, 1:].abs().max()) == 0


def test_nothing_is_seen_in_a_flat_picture_and_gradients_stay_finite():
    flat = torch.zeros(1, 3, 40, 40, requires_grad=True)
    seen = FringeInput()(flat + 0.7)
    assert float(seen.detach().abs().max()) < 1e-3
    seen.sum().backward()
    assert bool(flat.grad.isfinite().all())


def test_fringes_do_not_depend_on_brightness_and_little_on_contrast():
    picture = as_batch(dead_leaves(96, 1)) * 0.5
    look = FringeInput()
    torch.testing.assert_close(look(picture + 0.3), look(picture), atol=1e-3, rtol=0)
    half = look(picture / 2)
    apart = (half - look(picture)).square().mean() / look(picture).square().mean()
    assert float(apart) < 0.05


def test_fringes_show_red_and_blue_in_channels_of_their_own():
    base = torch.rand(1, 1, 64, 64).expand(-1, 3, -1, -1).clone()
    for channel, shown in ((0, 1), (2, 2)):
        moved = base.clone()
        moved[:, channel] = moved[:, channel].roll(1, dims=-1)
        power = FringeInput()(moved).square().mean((0, 2, 3))
        assert power[shown] > 1
        assert power[3 - shown] == 0


def test_fringes_and_products_stay_exact_in_bf16():
    picture = as_batch(Lens(green=0.999, kernel="spline").apply(dead_leaves(96, 2)))
    look = FringeInput()
    exact = look(picture)
    with torch.autocast("cpu", torch.bfloat16):
        seen = look(picture)
        products = bilinear_pool(seen.bfloat16())
    assert seen.dtype == products.dtype == torch.float32
    torch.testing.assert_close(seen, exact)


def test_bilinear_pool_is_the_mean_product():
    features = torch.randn(3, 5, 7, 9)
    got = bilinear_pool(features)
    torch.testing.assert_close(got, torch.einsum("nahw,nbhw->nab", features, features) / 63)
    assert (torch.linalg.eigvalsh(got) > -1e-5).all()


def test_pooled_products_hold_each_pair_once():
    features = torch.randn(3, 5, 7, 9)
    products, whole = pooled_products(features), bilinear_pool(features)
    assert products.shape == (3, 15)
    rows, columns = np.triu_indices(5)
    torch.testing.assert_close(products, whole[:, rows, columns])
    torch.testing.assert_close(products, whole.mT[:, rows, columns])


@pytest.mark.parametrize("side", [24, 48, 96])
def test_the_small_network_reads_patches_of_any_size(side):
    network = patch_net("fringe").eval()
    assert network(torch.rand(2, 3, side, side)).shape == (2, 16)


def test_coordinates_run_from_the_upper_left():
    seen = with_coordinates(torch.zeros(2, 3, 149, 224))
    assert seen.shape == (2, 5, 149, 224)
    y, x = seen[1, 3], seen[1, 4]
    assert (float(y[0, 0]), float(y[-1, 0]), float(y[0, -1])) == (0, 1, 0)
    assert (float(x[0, 0]), float(x[0, -1]), float(x[-1, 0])) == (0, 1, 0)


class Notes(nn.Module):
    """Writes down which patches go through together."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[list[int]] = []

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        numbers = patches[:, 0, 0]
        self.turns.append((numbers[:, 0] % 16).int().tolist())
        return numbers


@pytest.mark.parametrize("photos", [16, 32, 5])
def test_turns(photos):
    patches = torch.arange(photos * 16.0).view(photos, 16, 1, 1, 1)
    notes = {}
    for order in ORDERS:
        network = notes[order] = Notes()
        torch.testing.assert_close(in_turns(network, patches, order), patches[:, :, 0, 0])
    assert [set(turn) for turn in notes["aligned"].turns] == [{k} for k in range(16)]
    for turn in notes["rolled"].turns:
        counts = np.bincount(turn, minlength=16)
        assert counts.max() - counts.min() <= (photos % 16 > 0)
    assert len(notes["together"].turns) == 1


def test_orders_agree_in_evaluation_and_not_in_training():
    network = shuffled_statistics(resnet18(width=4))
    patches = torch.rand(4, 16, 3, 32, 32)
    trained = [in_turns(network.train(), patches, order) for order in ORDERS]
    assert not torch.allclose(trained[1], trained[2], atol=1e-3)
    network.eval()
    first, *others = (in_turns(network, patches, order) for order in ORDERS)
    for other in others:
        torch.testing.assert_close(other, first, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variant", ["joint", "patch", "global"])
def test_detector_reads_what_its_variant_may(variant):
    detector = crop_detector(variant, patch="fringe", thumbnail="course").eval()
    patches, thumbnail = torch.rand(2, 16, 3, 48, 48), torch.rand(2, 3, 50, 75)
    reading = detector(patches, thumbnail)
    assert reading.box.shape == (2, 4)
    assert reading.score.shape == (2,)
    assert (reading.cells is None) == (variant == "global")
    if reading.cells is not None:
        assert reading.cells.shape == (2, 16, 16)
        one = detector.patch(patches[1, 3:4])
        torch.testing.assert_close(one[0], reading.cells[1, 3], rtol=1e-4, atol=1e-5)
    other = detector(patches.flip(1), thumbnail).score
    assert torch.equal(other, reading.score) == (variant == "global")
    other = detector(patches, thumbnail.flip(3)).score
    assert torch.equal(other, reading.score) == (variant == "patch")


def test_cells_do_not_train_the_thumbnail_network():
    detector = crop_detector(patch="fringe", thumbnail="course")
    reading = detector(torch.rand(2, 16, 3, 48, 48), torch.rand(2, 3, 50, 75))
    reading.cells.sum().backward(retain_graph=True)
    assert all(p.grad is None for p in detector.thumbnail.parameters())
    assert any(p.grad is not None for p in detector.patch.embed.parameters())
    reading.score.sum().backward()
    assert all(p.grad is not None for p in detector.thumbnail.parameters())


def test_unknown_parts_are_refused_by_name():
    with pytest.raises(UsageError, match="variant 'both' is unknown: choose one of joint"):
        crop_detector("both")
    with pytest.raises(UsageError, match="order 'random'"):
        crop_detector(order="random")
    with pytest.raises(UsageError, match="patch network 'vgg'"):
        patch_net("vgg")
    with pytest.raises(UsageError, match="thumbnail network 'vgg'"):
        crop_detector(thumbnail="vgg")
    with pytest.raises(UsageError, match="needs a patch network or"):
        CropDetector(None, None)


def losses_of_the_small_network(lens: Lens, steps: int = 20) -> list[float]:
    """Train it to tell the 16 cells of dead leaves apart that all went through one lens."""
    rng = np.random.default_rng(0)
    network = patch_net("fringe").train()
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    corners = np.array([(x, y) for y in range(0, 128, 32) for x in range(0, 128, 32)])
    cells = torch.arange(16).repeat(4)
    losses = []
    for _ in range(steps):
        pictures = [dead_leaves(128, rng, rmin=1) for _ in range(4)]
        batch = as_batch(*np.concatenate([lens.patches(p, corners, 32) for p in pictures]))
        loss = nn.functional.cross_entropy(network(batch), cells)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_small_network_learns_from_a_lens_and_from_nothing_else():
    assert np.mean(losses_of_the_small_network(Lens(red=1.04, blue=1.02))[-5:]) < 1.0
    assert np.mean(losses_of_the_small_network(Lens())[-5:]) > 2.6  # chance: 2.77


@pytest.mark.parametrize("name", QUOTED)
def test_what_lessons_quote_fits_a_screen(name):
    quotation = quote(f"{model.__name__}.{name}")
    assert quotation.body_lines <= 25
