"""Networks that run backwards: against their inverses, autograd, a Haar matrix, and FrEIA."""

import importlib.util

import FrEIA.modules as freia
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.distributions import MultivariateNormal
from torch.nn.utils import parametrize

from course_lib.errors import UsageError
from course_lib.invertible import (
    AdditiveCoupling,
    AffineCoupling,
    ConditionalSplit,
    HaarDown,
    HaarUp,
    Invertible,
    InvertibleUNet,
    Subnet,
    affine_couple,
    affine_uncouple,
    bounded_scale,
    convolution_norm,
    couple,
    haar_down,
    haar_up,
    log_likelihood,
    uncouple,
)

BOUNDS = {torch.float32: 1e-4, torch.float64: 1e-10}
"""How far a picture may be from itself after a way there and back."""
each_precision = pytest.mark.parametrize("dtype", BOUNDS, ids=str)


def whole_networks() -> dict[str, Invertible]:
    torch.manual_seed(0)
    return {
        "paper's shape": InvertibleUNet(width=16),
        "additive": InvertibleUNet(width=16, kind="additive"),
        "spectral norm": InvertibleUNet(3, 3, (2, 2), (2, 1), width=12, bounded=True).eval(),
        "one step, no split": InvertibleUNet(1, 1, (3,), (3,), width=8, split=False),
    }


def layers(dtype: torch.dtype = torch.float64) -> dict[str, tuple[Invertible, tuple[int, ...]]]:
    """Every kind of module at a tiny size, with the shape of what it takes."""
    torch.manual_seed(1)
    found: dict[str, tuple[Invertible, tuple[int, ...]]] = {
        "haar down": (HaarDown(), (2, 4, 4)),
        "haar up": (HaarUp(), (8, 2, 2)),
        "additive": (AdditiveCoupling(1, 2, width=4), (3, 3, 2)),
        "affine": (AffineCoupling(2, 1, width=4), (3, 2, 3)),
        "affine, wide limit": (AffineCoupling(1, 1, width=4, limit=3.0), (2, 3, 3)),
        "split": (ConditionalSplit(2, 1, width=4), (3, 3, 3)),
        "network": (InvertibleUNet(1, 1, (1, 1), (1, 1), width=4), (2, 4, 4)),
        "additive network": (InvertibleUNet(1, 1, (1,), (1,), width=4, kind="additive"), (2, 4, 4)),
        "bounded network": (InvertibleUNet(1, 1, (1,), (1,), width=4, bounded=True), (2, 4, 4)),
    }
    for module, _ in found.values():
        roughen(module.to(dtype).eval())
    return found


def roughen(network: nn.Module, factor: float = 10.0) -> None:
    """Undo the small start of the last convolutions, so that couplings do a lot."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, Subnet):
                last = module[-1]
                assert isinstance(last, nn.Conv2d)
                if not parametrize.is_parametrized(last):
                    last.weight *= factor
                assert last.bias is not None
                last.bias += 0.3 * torch.randn_like(last.bias)


def there_and_back(network: Invertible, x: torch.Tensor) -> float:
    with torch.no_grad():
        return float((network.inverse(network(x)) - x).abs().max())


# --- inverses -----------------------------------------------------------------------------------


@each_precision
@pytest.mark.parametrize("name", whole_networks())
@pytest.mark.parametrize("rough", [False, True], ids=["fresh", "large weights"])
def test_networks_run_backwards(name, rough, dtype):
    network = whole_networks()[name].to(dtype)
    if rough:
        roughen(network)
    channels = network.channels
    x = torch.rand(2, channels, 32, 40, dtype=dtype)
    y = network(x)
    assert y.shape == x.shape
    assert float((y - x).detach().abs().max()) > 1e-3  # it does something
    assert there_and_back(network, x) < BOUNDS[dtype]
    with torch.no_grad():  # and the other way round
        assert float((network(network.inverse(x)) - x).abs().max()) < BOUNDS[dtype]


@each_precision
def test_training_does_not_break_the_inverse(dtype):
    torch.manual_seed(2)
    network = InvertibleUNet(3, 1, (1, 1), (1, 1), width=8).to(dtype)
    x = torch.rand(2, 4, 16, 16, dtype=dtype)
    before = network(x).detach()
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        y = network(x)
        loss = (y[:, 3] - 0.5).square().mean() + (y[:, :3] - x[:, :3]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert float((network(x).detach() - before).abs().max()) > 0.1
    assert there_and_back(network, x) < BOUNDS[dtype]


@pytest.mark.parametrize("name", layers())
def test_every_module_has_its_inverse(name):
    module, shape = layers()[name]
    x = torch.randn(3, *shape, dtype=torch.float64)
    assert there_and_back(module, x) < 1e-10


def test_a_fresh_network_is_near_the_identity():
    torch.manual_seed(3)
    network = InvertibleUNet(width=16)
    x = torch.rand(1, 4, 32, 32)
    changed = (network(x) - x).detach().square().mean().sqrt()
    roughen(network)
    assert float(changed) < 0.25 * float((network(x) - x).detach().square().mean().sqrt())


def test_gradients_reach_every_weight_in_both_directions():
    network = InvertibleUNet(width=8)
    for direction in (network, network.inverse):
        network.zero_grad()
        direction(torch.rand(1, 4, 16, 16)).square().sum().backward()
        for name, weight in network.named_parameters():
            assert weight.grad is not None, name
            assert float(weight.grad.abs().max()) > 0, name


def test_the_conditional_split_leaves_what_is_kept_alone():
    module = ConditionalSplit(3, 1, width=8)
    roughen(module)
    x = torch.rand(2, 4, 8, 8)
    y = module(x)
    assert torch.equal(y[:, :3], x[:, :3])
    assert not torch.allclose(y[:, 3:], x[:, 3:])


# --- functions ----------------------------------------------------------------------------------


def test_couplings_take_any_function():
    """The inverse asks nothing of the functions: they may even jump."""
    a, b = torch.randn(2, 5, 3, dtype=torch.float64)
    back = uncouple(*couple(a, b, torch.floor, torch.sign), torch.floor, torch.sign)
    assert torch.allclose(back[0], a, atol=1e-12)
    assert torch.allclose(back[1], b, atol=1e-12)
    rough = (lambda part: (torch.sign(part), torch.floor(part)),) * 2
    *moved, log_det = affine_couple(a, b, *rough)
    back = affine_uncouple(*moved, *rough)
    assert torch.allclose(back[0], a, atol=1e-12)
    assert torch.allclose(back[1], b, atol=1e-12)
    assert torch.equal(log_det, torch.sign(b).sum(1) + torch.sign(moved[0]).sum(1))


@given(
    st.floats(0.125, 4, width=32),
    st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=8),
)
@settings(max_examples=50, deadline=None)
def test_scales_are_bounded_for_any_number(limit, values):
    found = torch.tensor(values[: len(values) // 2 * 2]).reshape(1, -1, 1, 1)
    log_scale, shift = bounded_scale(found, limit)
    assert float(log_scale.abs().max()) <= limit * (1 + 1e-6)
    s, rest = found.double().chunk(2, dim=1)
    assert torch.equal(shift.double(), rest)
    expected = limit * (2 * torch.sigmoid(s) - 1)
    assert torch.allclose(log_scale.double(), expected, atol=1e-5)


# --- volumes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", layers())
def test_log_determinants_are_those_of_the_jacobian(name):
    module, shape = layers()[name]
    batch = torch.randn(2, *shape, dtype=torch.float64)
    numbers = batch[0].numel()
    for x, said in zip(batch, module.log_det(batch), strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda one: module(one[None])[0], x)
        sign, size = torch.linalg.slogdet(jacobian.reshape(numbers, numbers))
        assert abs(float((said - size).detach())) < 1e-9
        assert int(sign.abs()) == 1
    if name in ("affine", "affine, wide limit", "network", "bounded network"):
        assert float(module.log_det(batch).detach().abs().min()) > 1e-3  # or nothing was tested


def test_log_likelihood_of_a_linear_map_is_that_of_a_gaussian():
    torch.manual_seed(4)
    matrix = torch.randn(3, 3, dtype=torch.float64)
    x = torch.randn(6, 3, dtype=torch.float64)
    z, volume = x @ matrix.mT, torch.linalg.slogdet(matrix)[1].expand(6)
    inverse = torch.linalg.inv(matrix)
    truth = MultivariateNormal(torch.zeros(3, dtype=torch.float64), inverse @ inverse.mT)
    assert torch.allclose(log_likelihood(z, volume), truth.log_prob(x))


def test_a_density_integrates_to_one():
    torch.manual_seed(5)
    flow = nn.ModuleList([AffineCoupling(1, 1, width=8) for _ in range(3)]).double()
    roughen(flow)
    grid = torch.linspace(-9, 9, 361, dtype=torch.float64)
    points = torch.cartesian_prod(grid, grid)[:, :, None, None]
    total, z = torch.zeros(len(points), dtype=torch.float64), points
    with torch.no_grad():
        for layer in flow:
            total, z = total + layer.log_det(z), layer(z)
    mass = log_likelihood(z, total).exp().sum() * (grid[1] - grid[0]) ** 2
    assert float(mass) == pytest.approx(1, abs=2e-3)


# --- Haar ---------------------------------------------------------------------------------------


def haar_matrix() -> torch.Tensor:
    """Bands (rows) of the pixels of a 2 × 2 block, row by row: a Kronecker product of 1-D Haars."""
    one = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64) / 2**0.5
    mean_y, step_y = one
    mean_x, step_x = one
    rows = [
        torch.kron(mean_y, mean_x),
        torch.kron(mean_y, step_x),
        torch.kron(step_y, mean_x),
        torch.kron(step_y, step_x),
    ]
    return torch.stack(rows)


def test_haar_is_the_orthonormal_matrix_on_each_block():
    matrix = haar_matrix()
    assert torch.allclose(matrix @ matrix.mT, torch.eye(4, dtype=torch.float64))
    x = torch.randn(2, 3, 6, 10, dtype=torch.float64)
    bands = haar_down(x)
    assert bands.shape == (2, 12, 3, 5)
    for n, c, row, column in np.ndindex(2, 3, 3, 5):
        block = x[n, c, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].reshape(4)
        assert torch.allclose(bands[n, 4 * c : 4 * c + 4, row, column], matrix @ block)


def test_haar_keeps_lengths_and_angles():
    x, y = torch.randn(2, 3, 2, 8, 8, dtype=torch.float64)
    assert torch.allclose((haar_down(x) * haar_down(y)).sum(), (x * y).sum())
    assert torch.allclose(haar_up(haar_down(x)), x)
    assert torch.allclose(haar_down(haar_up(x.repeat(1, 2, 1, 1))), x.repeat(1, 2, 1, 1))


@pytest.mark.skipif(importlib.util.find_spec("pywt") is None, reason="PyWavelets is not installed")
def test_haar_is_that_of_pywavelets():
    pywt = importlib.import_module("pywt")
    x = torch.randn(1, 1, 8, 12, dtype=torch.float64)
    mean, (along_y, along_x, both) = pywt.dwt2(x[0, 0].numpy(), "haar")
    for band, theirs in zip(haar_down(x)[0], (mean, along_x, along_y, both), strict=True):
        assert np.allclose(band.numpy(), theirs)


# --- FrEIA --------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0.5, 1.0, 2.0])
def test_affine_coupling_is_freias_glow_block(limit):
    """Same parts, same order (the first part moves first), sigmoid clamp: nothing differs."""
    torch.manual_seed(6)
    ours = AffineCoupling(3, 2, width=8, limit=limit).double()
    roughen(ours)
    theirs = freia.GLOWCouplingBlock(
        [(5, 6, 7)], [], Subnet, clamp=limit, clamp_activation="SIGMOID", split_len=3
    )
    theirs.subnet1, theirs.subnet2 = ours.to_second, ours.to_first
    x = torch.randn(4, 5, 6, 7, dtype=torch.float64)
    (y,), log_det = theirs((x,))
    assert torch.allclose(ours(x), y)
    assert torch.allclose(ours.log_det(x), log_det)
    (back,), reverse = theirs((x,), rev=True)
    assert torch.allclose(ours.inverse(x), back)
    assert torch.allclose(-ours.log_det(back), reverse)


def test_additive_coupling_is_freias_nice_block():
    torch.manual_seed(7)
    ours = AdditiveCoupling(2, 3, width=8).double()
    roughen(ours)
    theirs = freia.NICECouplingBlock([(5, 4, 4)], [], Subnet, split_len=2)
    theirs.F, theirs.G = ours.to_first, ours.to_second
    x = torch.randn(4, 5, 4, 4, dtype=torch.float64)
    (y,), log_det = theirs((x,))
    assert torch.allclose(ours(x), y)
    assert log_det == 0
    assert torch.allclose(ours.inverse(x), theirs((x,), rev=True)[0][0])


def test_haar_is_freias():
    """Bands lie in the same order, grouped by channel."""
    theirs = freia.HaarDownsampling([(3, 8, 6)]).double()
    x = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    (bands,), log_det = theirs((x.clone(),))
    assert torch.allclose(haar_down(x), bands)
    assert abs(float(log_det)) < 1e-9
    (back,), _ = theirs((bands.clone(),), rev=True)  # their inverse works in place
    assert torch.allclose(haar_up(bands), back)


# --- spectral norm ------------------------------------------------------------------------------


def true_norm(convolve: nn.Conv2d, height: int, width: int) -> float:
    """Largest singular value of a convolution, from the whole matrix that it is."""
    inputs = convolve.in_channels
    basis = torch.eye(inputs * height * width, dtype=torch.float64)
    with torch.no_grad():
        images = convolve(basis.reshape(-1, inputs, height, width)) - convolve(
            torch.zeros(1, inputs, height, width, dtype=torch.float64)
        )
    return float(torch.linalg.matrix_norm(images.flatten(1), 2))


def test_the_norm_around_the_edges_is_that_of_the_matrix():
    torch.manual_seed(8)
    convolve = nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular").double()
    with torch.no_grad():
        found = float(convolution_norm(convolve.weight, (5, 6)))
    assert found == pytest.approx(true_norm(convolve, 5, 6), rel=1e-9)


def test_the_norm_bounds_a_convolution_that_pads_with_zeros():
    torch.manual_seed(9)
    for k in (3, 5):
        convolve = nn.Conv2d(2, 3, k, padding=k // 2).double()
        with torch.no_grad():
            bound = float(convolution_norm(convolve.weight, (6 + k - 1, 5 + k - 1)))
        truth = true_norm(convolve, 6, 5)
        assert truth <= bound * (1 + 1e-9)
        assert truth > 0.7 * bound


def test_bounded_subnets_stretch_by_three_a_convolution_at_most():
    torch.manual_seed(10)
    network = Subnet(3, 4, width=8, blocks=2, bounded=True).double()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):  # as after a training that went astray
                module.parametrizations.weight.original *= 30
    for _ in range(200):  # in training mode the estimate of the norm settles
        network(torch.randn(1, 3, 4, 4, dtype=torch.float64))
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            matrix = module.weight.detach().flatten(1)
            assert float(torch.linalg.matrix_norm(matrix, 2)) == pytest.approx(1, abs=1e-4)
            assert true_norm(module, 5, 5) <= 3
            assert float(convolution_norm(module.weight.detach(), (9, 9))) <= 3 + 1e-3
    x, y = torch.randn(2, 64, 3, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        ratio = (network(x) - network(y)).flatten(1).norm(dim=1) / (x - y).flatten(1).norm(dim=1)
    assert float(ratio.max()) <= 3 * (1 + 9) ** 2 * 3  # in, two residual blocks, out


def test_in_training_bounded_networks_need_their_weights_held():
    """Torch moves spectrally normalised weights at every call in training mode."""
    torch.manual_seed(11)
    network = InvertibleUNet(2, 1, (1,), (1,), width=8, bounded=True).double().train()
    x = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    assert there_and_back(network, x) > 1e-8
    with parametrize.cached():
        assert there_and_back(network, x) < 1e-10
    assert there_and_back(network.eval(), x) < 1e-10


def test_an_unbounded_scale_overflows_where_a_bounded_one_does_not():
    torch.manual_seed(12)
    steps = [AffineCoupling(1, 1, width=8) for _ in range(24)]
    for step in steps:
        roughen(step, 60.0)
    a, b = torch.rand(2, 1, 1, 8, 8)
    wild, x = (a, b), torch.cat([a, b], dim=1)
    with torch.no_grad():
        for step in steps:
            x = step(x)
            halves = [lambda part, net=net: net(part).chunk(2, 1) for net in step.children()]
            wild = affine_couple(*wild, *halves)[:2]
    assert torch.isfinite(x).all()
    assert not torch.isfinite(torch.cat(wild, dim=1)).all()


# --- shape and errors -----------------------------------------------------------------------------


def test_the_default_is_the_papers_shape():
    network = InvertibleUNet()
    names = [type(layer).__name__ for layer in network.layers]
    step = ["AffineCoupling"] * 2
    expected = ["HaarDown", *step] * 3 + ["HaarUp", *step] * 2 + ["HaarUp", "ConditionalSplit"]
    assert names == expected
    x, sizes = torch.rand(1, 4, 16, 24), []
    for layer in network.layers:
        x = layer(x)
        sizes.append(x.numel())
    assert set(sizes) == {4 * 16 * 24}  # not a number more or less


def test_parts_stay_apart_through_the_bands():
    """Without couplings nothing of the second part reaches the first."""
    network = InvertibleUNet(3, 1, (0, 0), (0, 0), split=False)
    x = torch.rand(1, 4, 8, 8)
    assert torch.allclose(network(x), x, atol=1e-6)
    halfway = x
    for layer in network.layers[:2]:
        halfway = layer(halfway)
    other = torch.cat([x[:, :3], torch.rand(1, 1, 8, 8)], dim=1)
    for layer in network.layers[:2]:
        other = layer(other)
    assert torch.equal(halfway[:, :48], other[:, :48])


def test_names_of_weights_are_those_of_shipped_checkpoints():
    names = list(InvertibleUNet(3, 1, (1,), (0,), width=8).state_dict())
    assert names[0] == "layers.1.to_first.0.weight"
    assert "layers.1.to_second.2.second.bias" in names
    assert names[-1] == "layers.3.predict.4.bias"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"down": (1, 1), "up": (1,)}, "2 steps down and 1 up"),
        ({"kind": "multiplicative"}, "'multiplicative' is unknown"),
    ],
)
def test_impossible_networks_are_refused(arguments, words):
    with pytest.raises(UsageError, match=words):
        InvertibleUNet(**arguments)


@pytest.mark.parametrize("way", ["forward", "inverse"])
def test_batches_that_do_not_fit_are_refused(way):
    network = InvertibleUNet(width=4)
    through = getattr(network, way)
    with pytest.raises(UsageError, match="multiples of 8"):
        through(torch.rand(1, 4, 20, 16))
    with pytest.raises(UsageError, match=r"\(n, 4, height, width\)"):
        through(torch.rand(1, 3, 16, 16))
    with pytest.raises(UsageError, match=r"\(n, 4, height, width\)"):
        through(torch.rand(4, 16, 16))
