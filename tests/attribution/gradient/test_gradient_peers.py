"""The gradient family against captum, on networks with the same weights."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gradient_family import CLASS_0, IMAGE, NHWC, conv_net, fast_jit
from jax import lax

from jaxcam import attribution
from jaxcam.attribution import Epsilon, Gamma, ZPlus
from jaxcam.attribution.gradient.path import quadrature

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore"),
]
torch = pytest.importorskip("torch")
captum = pytest.importorskip("captum.attr")

TARGETS = jnp.array([0, 1, 2, 3, 0])


def torch_net(*, norm=False, pool="max"):
    """A network of torch modules, each used once, as captum's LRP and DeepLift want it."""
    nn = torch.nn
    torch.manual_seed(0)
    pools = {"max": nn.MaxPool2d(2), "average": nn.AvgPool2d(2)}
    first = [nn.Conv2d(3, 6, 3, padding=1), *([nn.BatchNorm2d(6)] if norm else []), nn.ReLU(), pools[pool]]
    second = [nn.Conv2d(6, 8, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()]
    net = nn.Sequential(*first, *second, nn.Linear(8 * 3 * 2, 10), nn.ReLU(), nn.Linear(10, 4)).eval()
    for module in net:
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean):
                torch.nn.init.normal_(values)
            module.running_var.uniform_(0.5, 2)
    return net


def jax_net(net):
    """The same function, written with JAX on (n, h, w, c)."""
    steps = []
    for module in net:
        values = {name: jnp.asarray(value.detach().numpy()) for name, value in module.state_dict().items()}
        steps.append((type(module).__name__, values, getattr(module, "padding", (0, 0))))

    def fn(x):
        for kind, values, padding in steps:
            if kind == "Conv2d":
                sides = [(p, p) for p in padding]
                kernel = values["weight"].transpose(2, 3, 1, 0)
                x = lax.conv_general_dilated(x, kernel, (1, 1), sides, dimension_numbers=NHWC) + values["bias"]
            elif kind == "BatchNorm2d":
                x = (x - values["running_mean"]) * lax.rsqrt(values["running_var"] + 1e-5)
                x = x * values["weight"] + values["bias"]
            elif kind == "ReLU":
                x = jax.nn.relu(x)
            elif kind == "MaxPool2d":
                x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
            elif kind == "AvgPool2d":
                x = lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4
            elif kind == "Flatten":
                x = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)
            else:
                x = x @ values["weight"].T + values["bias"]
        return x

    return fn


def theirs(values):
    return values.detach().permute(0, 2, 3, 1).numpy()


def agree(ours, other, tolerance=1e-4):
    assert np.abs(ours - other).max() <= tolerance * np.abs(other).max()


@pytest.fixture(scope="module", params=["max", "max and batch norm", "average"])
def pair(request):
    """(torch network, ours, torch images, our images), agreeing on the logits."""
    net = torch_net(norm="norm" in request.param, pool=request.param.split()[0])
    images = torch.rand(5, 3, 16, 12)
    ours, given = jax_net(net), jnp.asarray(theirs(images))
    agree(ours(given), net(images).detach().numpy(), 1e-5)
    return net, ours, images, given


def run(function, images):
    return fast_jit(function)(images)


def test_gradients(pair):
    net, fn, images, given = pair
    targets = torch.tensor(np.asarray(TARGETS))
    for method, peer in (
        (attribution.saliency, captum.Saliency(net)),
        (attribution.input_x_gradient, captum.InputXGradient(net)),
        (attribution.guided_backprop, captum.GuidedBackprop(copy.deepcopy(net))),
        (attribution.deconvnet, captum.Deconvolution(copy.deepcopy(net))),
    ):
        options = {"abs": False} if method is attribution.saliency else {}
        agree(
            run(lambda x, method=method: method(fn, x, TARGETS), given),
            theirs(peer.attribute(images.clone().requires_grad_(), target=targets, **options)),
        )


RULES = {
    "gauss_legendre": "gausslegendre",
    "riemann_left": "riemann_left",
    "riemann_right": "riemann_right",
    "riemann_middle": "riemann_middle",
    "trapezoid": "riemann_trapezoid",
}


@pytest.mark.parametrize("rule", RULES)
def test_integrated_gradients(rule):
    net = torch_net()
    fn, images, baselines = jax_net(net), torch.rand(5, 3, 16, 12), torch.rand(5, 3, 16, 12)
    expected, delta = captum.IntegratedGradients(net).attribute(
        images,
        baselines,
        target=torch.tensor(np.asarray(TARGETS)),
        n_steps=20,
        method=RULES[rule],
        return_convergence_delta=True,
    )
    given, starts = jnp.asarray(theirs(images)), jnp.asarray(theirs(baselines))
    found = run(
        lambda x: attribution.integrated_gradients(fn, x, TARGETS, baselines=starts, steps=20, rule=rule), given
    )
    # captum's trapezoid gives the steps weights that add up to (steps - 1) / steps.
    factor = 19 / 20 if rule == "trapezoid" else 1
    assert quadrature(rule, 20)[1].sum() == pytest.approx(1)
    agree(found.attributions * factor, theirs(expected))
    if factor == 1:
        np.testing.assert_allclose(found.error, delta.detach().numpy(), atol=1e-5)


def test_noise_and_references_in_expectation():
    net = torch_net(pool="average")
    fn, images = jax_net(net), torch.rand(5, 3, 16, 12)
    given, targets = jnp.asarray(theirs(images)), torch.tensor(np.asarray(TARGETS))
    references = torch.rand(8, 3, 16, 12)
    torch.manual_seed(1)
    shap = theirs(captum.GradientShap(net).attribute(images, references, n_samples=400, target=targets))
    ours = run(
        lambda x: attribution.expected_gradients(
            fn, x, TARGETS, key=jax.random.key(0), references=jnp.asarray(theirs(references)), samples=400
        ),
        given,
    )
    assert np.corrcoef(np.ravel(shap), np.ravel(ours.attributions))[0, 1] > 0.98
    tunnel = captum.NoiseTunnel(captum.Saliency(net))
    for kind, peer in (("mean", "smoothgrad"), ("squared", "smoothgrad_sq"), ("variance", "vargrad")):
        spread = float(images[:1].max() - images[:1].min())
        other = tunnel.attribute(
            images[:1],
            nt_type=peer,
            nt_samples=400,
            stdevs=0.3 * spread,
            target=0,
            nt_samples_batch_size=100,
            abs=False,
        )
        smooth = lambda x, kind=kind: attribution.smooth_grad(
            fn, x, CLASS_0, key=jax.random.key(0), samples=400, noise=0.3, kind=kind
        )
        found = run(smooth, given[:1])
        assert np.corrcoef(np.ravel(theirs(other)), np.ravel(found))[0, 1] > 0.95
        np.testing.assert_allclose(np.abs(found).mean(), np.abs(theirs(other)).mean(), rtol=0.1)


def relevance_of_captum(net, images, rule):
    """captum's LRP; it has no rule for `torch.nn.Flatten`, but does not mind the function."""
    net = copy.deepcopy(net)
    flat = next(i for i, module in enumerate(net) if isinstance(module, torch.nn.Flatten))

    class Flattened(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.base, self.top = net[:flat], net[flat + 1 :]

        def forward(self, x):
            return self.top(torch.flatten(self.base(x), 1))

    for module in net:
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.rule = rule()
    return theirs(captum.LRP(Flattened()).attribute(images, target=torch.tensor(np.asarray(TARGETS))))


def test_relevance(pair):
    rules = pytest.importorskip("captum.attr._utils.lrp_rules")
    net, fn, images, given = pair
    if isinstance(net[1], torch.nn.BatchNorm2d):
        # captum gives a batch norm a rule of its own; ours is folded into its convolution, so theirs is folded first.
        folded = torch.nn.utils.fusion.fuse_conv_bn_eval(net[0], net[1])
        net = torch.nn.Sequential(folded, *list(net)[2:])
    for ours, peer in (
        (Epsilon(1e-9), lambda: rules.EpsilonRule(1e-9)),
        (Epsilon(0.1), lambda: rules.EpsilonRule(0.1)),
        (Gamma(0.25, bias=False), lambda: rules.GammaRule(0.25, set_bias_to_zero=True)),
        (ZPlus(bias=False), lambda: rules.Alpha1_Beta0_Rule(set_bias_to_zero=True)),
    ):
        found = run(lambda x, ours=ours: attribution.relevance(fn, x, TARGETS, rules=ours), given)
        agree(found.attributions, relevance_of_captum(net, images, peer))


def test_deep_lift_with_average_pools():
    net = torch_net(pool="average", norm=True)
    fn, images, baselines = jax_net(net), torch.rand(5, 3, 16, 12), torch.rand(5, 3, 16, 12)
    expected = captum.DeepLift(net).attribute(images, baselines, target=torch.tensor(np.asarray(TARGETS)))
    starts = jnp.asarray(theirs(baselines))
    found = run(lambda x: attribution.deep_lift(fn, x, TARGETS, baselines=starts), jnp.asarray(theirs(images)))
    # The attributions are a thousandth of the logits, whose rounding they share.
    agree(found.attributions, theirs(expected), 1e-3)


def test_deep_lift_with_max_pools():
    """Equal where every maximum rises; where one falls captum's attributions miss the difference, by its own delta."""
    net = torch_net()
    with torch.no_grad():
        net[0].weight.abs_()
    fn, images = jax_net(net), torch.rand(5, 3, 16, 12)
    given, targets = jnp.asarray(theirs(images)), torch.tensor(np.asarray(TARGETS))
    expected = captum.DeepLift(net).attribute(images, 0 * images, target=targets)
    agree(run(lambda x: attribution.deep_lift(fn, x, TARGETS, baselines=0.0), given).attributions, theirs(expected))
    baselines = torch.rand(5, 3, 16, 12)
    starts = jnp.asarray(theirs(baselines))
    _, delta = captum.DeepLift(net).attribute(images, baselines, target=targets, return_convergence_delta=True)
    found = run(lambda x: attribution.deep_lift(fn, x, TARGETS, baselines=starts), given)
    assert float(delta.abs().max()) > 1e-4
    np.testing.assert_allclose(found.error, np.zeros(5), atol=1e-6)


def test_captums_network():
    """Guided backpropagation and deconvolution on BasicModel_ConvNet_One_Conv."""
    models = pytest.importorskip("captum.testing.helpers.basic_models")
    net = models.BasicModel_ConvNet_One_Conv()
    image = torch.arange(16.0).view(1, 1, 4, 4)
    for method, peer in (
        (attribution.guided_backprop, captum.GuidedBackprop),
        (attribution.deconvnet, captum.Deconvolution),
    ):
        expected = theirs(peer(net).attribute(image.clone().requires_grad_(), target=0))
        np.testing.assert_allclose(method(conv_net, IMAGE, CLASS_0), expected)
