"""CLR-Net's networks: exact inverses, shapes, sizes, and what reaches what."""

import pytest
import torch

from course_lib.clrnet.model import (
    NULL,
    Generator,
    Localizer,
    Preprocessor,
    edges,
    generator,
)
from course_lib.clrnet.objective import lost_area_error
from course_lib.clrnet.train import BUDGETS, PAPER_SIZE, ClrTask, Ensemble
from course_lib.clrnet.transport import READ, Transport, flattening
from course_lib.errors import UsageError
from course_lib.photos import embedded

SMALL = {"grid": 8, "carriers": 4, "width": 8, "rounds": 2}


def lost_right(n=2, side=64, left=43):
    lost = torch.zeros(n, 1, side, side)
    lost[..., left:] = 1
    lost[:, :, :5] = 1
    return lost


def shaken(net, scale=0.2):
    """Give every weight a random part, so that nothing is as it started."""
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in net.parameters():
            weight *= 1 + scale * torch.randn_like(weight)
            weight += 0.05 * scale * torch.randn_like(weight)
    return net


NETWORKS = {
    "paper": {"width": 16},
    "unbounded": {"width": 16, "bounded": False},
    "transport": {"down": (0, 1, 2), "up": (2, 1, 0), "width": 8, "transport": SMALL},
    "no split": {"down": (0, 0, 1), "up": (0, 0, 0), "split": False, "transport": SMALL},
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
@pytest.mark.parametrize("cropped", [False, True])
def test_random_weights_have_an_exact_inverse(name, dtype, bound, cropped):
    net = shaken(Generator(**NETWORKS[name]).to(dtype)).eval()
    x = torch.rand(2, 4, 64, 64, dtype=dtype)
    lost = lost_right().to(dtype) if cropped else None
    with torch.no_grad():
        y = x
        for layer in net.net.layers:
            y = layer(y, lost) if isinstance(layer, Transport) else layer(y)
        assert (y - x).abs().max() > 0.05, "something happens"
        assert (net.back(y, lost) - x).abs().max() < bound
        if not cropped:
            torch.testing.assert_close(net.net(x), y)


def test_a_whole_picture_comes_back_but_for_the_fourth_channel():
    net = shaken(Generator(**NETWORKS["transport"]), 0.1).eval()
    pictures = torch.rand(2, 3, 64, 64)
    protected, rest = net.protect(pictures)
    back = net.back(torch.cat([protected, rest], dim=1))
    torch.testing.assert_close(back[:, :3], pictures, atol=1e-5, rtol=0)
    torch.testing.assert_close(back[:, 3:], edges(pictures), atol=1e-5, rtol=0)


@pytest.mark.parametrize("told", [False, True])
def test_the_way_back_begins_with_the_constant_or_with_what_is_lost(told):
    net = Generator(**NETWORKS["transport"], told=told).eval()
    canvas, lost = torch.rand(2, 3, 64, 64), lost_right()
    fourth = lost if told else torch.full_like(lost, NULL)
    expected = net.back(torch.cat([canvas, fourth], dim=1), lost)[:, :3]
    torch.testing.assert_close(net.recover(canvas, lost), expected)


def test_recovery_does_not_look_at_what_was_lost():
    layer = shaken(Transport(**SMALL)).eval()
    lost = lost_right()
    bands = torch.rand(2, 256, 8, 8)
    with torch.no_grad():
        picture = layer._up(bands[:, :192])
        other = torch.where(lost > 0, torch.rand_like(picture), picture)
        changed = torch.cat([layer._down(other), bands[:, 192:]], dim=1)
        before, after = (layer.filling(each[:, :192], lost) for each in (bands, changed))
    torch.testing.assert_close(before, after, atol=1e-4, rtol=0)


def test_filling_leaves_alone_what_is_left():
    layer = shaken(Transport(**SMALL)).eval()
    lost = lost_right()
    with torch.no_grad():
        filled = layer._up(layer.filling(torch.rand(2, 192, 8, 8), lost))
    assert (filled * (1 - lost)).abs().max() < 1e-5 and (filled * lost).abs().mean() > 0.1


def test_transport_carries_across_the_picture_and_convolutions_do_not():
    """What one corner holds changes the far corner of the protected picture, or does not."""
    far = {}
    for name in ("transport", "paper"):
        net = Generator(**NETWORKS[name] | {"down": (0, 0, 1), "up": (0, 0, 0)}).double().eval()
        pictures = torch.full((1, 3, 64, 64), 0.5, dtype=torch.float64, requires_grad=True)
        net.protect(pictures)[0][..., -8:, -8:].pow(2).sum().backward()
        far[name] = float(pictures.grad[..., :8, :8].abs().max())
    assert far["transport"] > 1e-6 and far["paper"] == 0


def test_what_is_read_can_be_written():
    layer = Transport(grid=16)
    thumbnail = torch.rand(2, READ, 16, 16)
    torch.testing.assert_close(layer.read(layer.write(thumbnail)), thumbnail, atol=1e-4, rtol=0)
    gray = torch.full((1, 3, 128, 128), 0.5)
    coarse, _ = layer._parted(layer._down(gray))
    assert layer.read(coarse).abs().max() < 1e-5, "middle gray is nothing"


def test_flattening_can_be_undone_and_amplifies_fine_waves():
    flat, back = flattening(8)
    torch.testing.assert_close(flat @ back, torch.eye(64), atol=1e-5, rtol=0)
    line = torch.arange(8.0)
    slow = torch.cos(torch.pi / 8 * (line + 0.5)).expand(8, 8).flatten()
    fine = torch.cos(7 * torch.pi / 8 * (line + 0.5)).expand(8, 8).flatten()
    assert (flat @ fine).norm() / fine.norm() > 1.5 * (flat @ slow).norm() / slow.norm()


def test_a_grid_finer_or_coarser_than_the_bands():
    coarser = Transport(grid=4, step=4, level=3, carriers=4, width=8, rounds=1)
    x = torch.rand(1, 256, 8, 8)
    assert coarser(x).shape == x.shape
    with pytest.raises(UsageError, match="128 × 128 pixels, not 64 × 64"):
        Transport(grid=16)(x)


def test_edges_are_where_luma_changes():
    picture = torch.zeros(1, 3, 16, 16)
    picture[..., 8:] = 1
    found = edges(picture)[0, 0]
    assert found[:, 7:9].min() > 0.3 and found[:, :6].abs().max() < 1e-6
    flat = torch.full((1, 3, 16, 16), 0.3, requires_grad=True)
    edges(flat).sum().backward()
    assert flat.grad.isfinite().all()


def test_the_pre_processor_starts_nearly_as_identity_and_shows_three_layers():
    net = Preprocessor(8)
    views = torch.rand(2, 3, 37, 50)
    processed, features = net(views)
    assert (processed - views).abs().max() < 0.2
    assert [tuple(each.shape) for each in features] == [(2, 8, 37, 50)] * 3
    assert sum(isinstance(each, torch.nn.Conv2d) for each in net.modules()) == 6


def test_the_localizer_always_gives_boxes_and_a_score():
    net = shaken(Localizer(64, 8), 5.0)
    boxes, scores = net(torch.rand(50, 3, 41, 73))
    assert boxes.shape == (50, 4) and scores.shape == (50,)
    assert (boxes >= 0).all() and (boxes <= 1).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 0.3 - 1e-6).all()
    linear = [each for each in net.head if isinstance(each, torch.nn.Linear)]
    assert len(linear) == 4 and linear[-1].out_features == 5


def test_the_localizer_learns_a_pattern_of_places():
    """Views of a fixed ramp: where they were can be read off."""
    torch.manual_seed(0)
    ramp = torch.linspace(0, 1, 64)
    picture = torch.stack([ramp.expand(64, 64), ramp[:, None].expand(64, 64), torch.zeros(64, 64)])
    net = Localizer(32, 8, 64)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(200):
        corners = torch.randint(0, 24, (16, 2))
        views = torch.stack([picture[:, y : y + 40, x : x + 40] for x, y in corners.tolist()])
        truth = torch.cat([corners, corners + 40], dim=1) / 64
        loss = (net(views)[0] - truth).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.06  # a constant box comes to 0.09


@pytest.mark.parametrize("kind", ["separate", "unprotected"])
def test_the_ablations_have_the_same_doors(kind):
    net = generator({"network": kind, "width": 4}).eval()
    pictures, lost = torch.rand(2, 3, 32, 32), lost_right(2, 32, 20)
    protected, rest = net.protect(pictures)
    assert torch.equal(protected, pictures) == (kind == "unprotected") and not rest.any()
    assert net.recover(pictures * (1 - lost), lost).shape == pictures.shape


def test_an_unknown_network_is_refused():
    with pytest.raises(UsageError, match="invertible, separate, unprotected"):
        generator({"network": "flow"})


def test_the_papers_size():
    count = sum(weight.numel() for weight in Ensemble(PAPER_SIZE).parameters())
    assert abs(count / 7.84e6 - 1) < 0.1, f"{count / 1e6:.2f} million"


def test_the_shipped_size_fits():
    net = Ensemble(BUDGETS["cpu"])
    assert 4 * sum(weight.numel() for weight in net.parameters()) < 8e6  # bytes of float32


def test_every_weight_of_the_generator_learns():
    """Recovery alone reaches each of them, in a picture that was cropped."""
    torch.manual_seed(0)
    net = Generator(**NETWORKS["transport"], told=True)
    pictures, lost = torch.rand(2, 3, 64, 64), lost_right()
    protected, _ = net.protect(pictures)
    recovered = net.recover(protected * (1 - lost), lost)
    lost_area_error(recovered, pictures, lost).mean().backward()
    silent = [
        name
        for name, weight in net.named_parameters()
        if weight.grad is None or not weight.grad.any()
    ]
    assert not silent, silent


def test_the_task_describes_its_network():
    task = ClrTask(BUDGETS["smoke"], embedded(), 0)
    again = generator(task.config["network"])
    assert again.state_dict().keys() == task.build().generator.state_dict().keys()
