"""Names, orders and reports of porting."""

import jax
import numpy as np
import pytest

from jaxcam import networks, weights
from jaxcam.errors import UserError
from jaxcam.weights.port import detect, port
from jaxcam.weights.rules import vgg
from jaxcam.weights.safetensors_files import flatten
from jaxcam.weights.tables import VGG16

SHAPE = (1, 64, 96, 3)
TEMPLATE = networks.NetworkSpec(name="vgg16", width=1 / 32, classes=5, input_size=SHAPE[1:3]).chain().abstract(SHAPE)
BASE = {name: leaves for name, leaves in TEMPLATE.items() if name.startswith("block")}
TORCH_INDICES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
STAGES = [name for name in TEMPLATE if name.startswith("block")]


def own(template=TEMPLATE, seed=0):
    """Tensors with jaxcam's names."""
    generator = np.random.default_rng(seed)
    return {name: generator.normal(size=leaf.shape).astype(np.float32) for name, leaf in flatten(template).items()}


def torchvision():
    """Written out independently of the rules."""
    mine, out = own(), {}
    for stage, index in zip(STAGES, TORCH_INDICES, strict=True):
        out[f"features.{index}.weight"] = np.einsum("hwio->oihw", mine[f"{stage}/kernel"])
        out[f"features.{index}.bias"] = mine[f"{stage}/bias"]
    fc1 = mine["fc1/kernel"].reshape(2, 3, 16, 128)
    out["classifier.0.weight"] = np.einsum("hwco->ochw", fc1).reshape(128, 96)
    out["classifier.3.weight"] = mine["fc2/kernel"].T
    out["classifier.6.weight"] = mine["predictions/kernel"].T
    for index, stage in ((0, "fc1"), (3, "fc2"), (6, "predictions")):
        out[f"classifier.{index}.bias"] = mine[f"{stage}/bias"]
    return out


def timm():
    renamed = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2", "classifier.6": "head.fc"}
    out = {}
    for name, value in torchvision().items():
        stem, _, kind = name.rpartition(".")
        out[f"{renamed.get(stem, stem)}.{kind}"] = value
    out["pre_logits.fc1.weight"] = out["pre_logits.fc1.weight"].reshape(128, 16, 2, 3)
    out["pre_logits.fc2.weight"] = out["pre_logits.fc2.weight"].reshape(128, 128, 1, 1)
    return out


def keras(form):
    return {form(*name.split("/")): value for name, value in own().items()}


SOURCES = {
    "jaxcam": own,
    "torchvision": torchvision,
    "module. of DataParallel": lambda: {f"module.{name}": value for name, value in torchvision().items()},
    "timm": timm,
    "Keras 1": lambda: keras(lambda s, k: f"{s}/{s}_{'W' if k == 'kernel' else 'b'}_1:0"),
    "Keras 2": lambda: keras(lambda s, k: f"{s}/{s}/{k}:0"),
    "Keras 2, base nested in a model": lambda: keras(lambda s, k: f"vgg16/{s}/{k}:0"),
    "Keras 3": lambda: keras(lambda s, k: f"{s}/functional/{s}/{k}"),
    "Keras 3 vars": lambda: keras(lambda s, k: f"layers/{s}/vars/{int(k == 'bias')}"),
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_naming_gives_the_same_parameters(source):
    tensors = SOURCES[source]()
    params = port(dict(reversed(tensors.items())), TEMPLATE)
    assert list(params) == list(TEMPLATE)
    got, expected = flatten(params), own()
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)
        assert got[name].dtype == np.float32
        assert got[name].flags.c_contiguous
        assert got[name].flags.writeable


def test_without_template_the_files_sizes_are_kept():
    for make in SOURCES.values():
        assert {n: v.shape for n, v in flatten(port(make(), None)).items()} == {n: v.shape for n, v in own().items()}
    assert list(port(own(BASE), None)) == STAGES


def test_detection():
    names = {"torchvision": torchvision(), "timm": timm(), "jaxcam": own()}
    for naming, tensors in names.items():
        assert detect(tensors) == naming
    assert detect([name for name in timm() if name.startswith("features")]) == "torchvision"
    with pytest.raises(weights.PortError, match=r"layer1\.0\.conv1\.weight.*torchvision"):
        detect(["layer1.0.conv1.weight"])
    with pytest.raises(weights.PortError, match="no tensors"):
        detect([])


def test_everything_that_does_not_fit_is_in_one_error():
    tensors = torchvision()
    del tensors["features.0.bias"], tensors["classifier.6.weight"]
    tensors["aux.weight"] = np.zeros((7, 8), np.float32)
    tensors["features.5.weight"] = np.zeros((4, 2, 5, 5), np.float32)
    tensors["classifier.3.weight"] = np.zeros((9, 128), np.float32)
    tensors["features.2.bias"] = np.zeros(2, np.int64)
    tensors["features.7.bias"] = np.array([1, np.nan, 1, 1], np.float32)
    with pytest.raises(weights.PortError) as error:
        port(tensors, TEMPLATE, where="vgg.pth")
    message = str(error.value)
    assert isinstance(error.value, UserError)
    assert "\n" not in message
    assert message.startswith("vgg.pth (torchvision names)")
    assert error.value.missing == ("block1_conv1/bias (2,)", "predictions/kernel (128, 5)")
    assert error.value.extra == ("aux.weight (7, 8)",)
    wrong = {line.split(" ")[0]: line for line in error.value.misshapen}
    assert wrong.keys() == {"block2_conv1/kernel", "fc2/kernel", "block1_conv2/bias", "block2_conv2/bias"}
    assert "got (4, 2, 5, 5) which is (5, 5, 2, 4) here, expected (3, 3, 2, 4)" in wrong["block2_conv1/kernel"]
    assert "expected (128, 128)" in wrong["fc2/kernel"]
    assert "int64" in wrong["block1_conv2/bias"]
    assert "not finite" in wrong["block2_conv2/bias"]
    for part in (*error.value.missing, *error.value.extra, *error.value.misshapen):
        assert part in message
    assert "ignore_top" not in message


def test_top_is_dropped_only_when_asked():
    for make in SOURCES.values():
        with pytest.raises(weights.PortError, match="ignore_top=True drops the top") as error:
            port(make(), BASE)
        assert len(error.value.extra) == 6
        params = port(make(), BASE, ignore_top=True)
        np.testing.assert_array_equal(params["block1_conv1"]["kernel"], own()["block1_conv1/kernel"])
        assert list(params) == STAGES
    assert list(port(torchvision(), TEMPLATE, ignore_top=True)) == list(TEMPLATE)
    assert list(port(torchvision(), None, ignore_top=True)) == STAGES


def test_heads_of_jaxcams_own_classifiers_are_tops_too():
    trained = {**own(BASE), "conv_last/kernel": np.zeros((3, 3, 16, 2), np.float32), "dense_1/bias": np.zeros(3)}
    with pytest.raises(weights.PortError, match="conv_last"):
        port(trained, BASE)
    assert list(port(trained, BASE, ignore_top=True)) == STAGES
    assert {"conv_last", "dense_1"} < set(port(trained, None))


def test_stages_to_ignore():
    cut = {name: leaves for name, leaves in BASE.items() if name != "block5_conv3"}
    with pytest.raises(weights.PortError, match=r"features\.28\.weight"):
        port(torchvision(), cut, ignore_top=True)
    assert list(port(torchvision(), cut, ignore_top=True, ignore={"block5_conv3"})) == list(cut)


def test_a_head_of_someone_elses_can_be_ignored_by_its_name():
    keras_model = {**keras(lambda s, k: f"vgg16/{s}/{k}"), "dense/sequential/dense/kernel": np.zeros((96, 2))}
    with pytest.raises(weights.PortError, match="dense/sequential/dense/kernel"):
        port(keras_model, BASE, ignore_top=True)
    assert list(port(keras_model, BASE, ignore_top=True, ignore=("dense",))) == STAGES
    torch_model = {**torchvision(), "head.0.weight": np.zeros(2)}
    assert list(port(torch_model, TEMPLATE, ignore=("head",))) == list(TEMPLATE)


def test_file_without_top_for_a_network_with_one():
    with pytest.raises(weights.PortError) as error:
        port(own(BASE), TEMPLATE)
    assert [line.split("/")[0] for line in error.value.missing] == ["fc1"] * 2 + ["fc2"] * 2 + ["predictions"] * 2
    with pytest.raises(weights.PortError, match="missing: fc2/kernel"):
        port({name: value for name, value in torchvision().items() if "classifier.3" not in name}, None)


def test_other_size_of_picture_is_told_at_fc1():
    other = networks.NetworkSpec(name="vgg16", width=1 / 32, classes=5, input_size=(64, 64)).chain()
    with pytest.raises(weights.PortError, match=r"fc1/kernel \(classifier\.0\.weight: .*expected \(64, 128\)"):
        port(torchvision(), other.abstract((1, 64, 64, 3)))
    tensors = torchvision()
    tensors["classifier.0.weight"] = np.zeros((128, 97), np.float32)
    with pytest.raises(weights.PortError, match="flattened map of 16 channels"):
        port(tensors, TEMPLATE)
    del tensors["features.28.bias"]
    with pytest.raises(weights.PortError, match="cannot be put in order without block5_conv3/bias"):
        port(tensors, TEMPLATE)


def test_two_tensors_for_one_parameter():
    tensors = {**torchvision(), "module.features.0.bias": np.zeros(2, np.float32)}
    with pytest.raises(weights.PortError, match=r"features\.0\.bias and module\.features\.0\.bias"):
        port(tensors, TEMPLATE)


def test_states_that_are_no_parameters_are_passed_over():
    tensors = {**keras(lambda s, k: f"layers/{s}/vars/{int(k == 'bias')}"), "optimizer/vars/0": np.zeros((), np.int64)}
    assert list(port(tensors, TEMPLATE)) == list(TEMPLATE)


def test_types_become_float32():
    tensors = {name: value.astype(np.float16) for name, value in own().items()}
    for name, value in flatten(port(tensors, TEMPLATE)).items():
        np.testing.assert_array_equal(value, tensors[name].astype(np.float32))
    huge = {**own(), "fc1/bias": np.full(128, 1e300)}
    with pytest.raises(weights.PortError, match="not finite"):
        port(huge, TEMPLATE)


def test_real_params_as_template_and_unknown_names():
    params = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), TEMPLATE)
    assert jax.tree.map(lambda x: x.shape, port(own(), params)) == jax.tree.map(lambda x: x.shape, params)
    with pytest.raises(UserError, match="vgg16"):
        port(own(), TEMPLATE, network="vgg99")
    with pytest.raises(UserError, match="torchvision"):
        port(own(), TEMPLATE, source="caffe")


def test_long_lists_are_cut_in_the_message_and_whole_in_the_error():
    tensors = {**own(), **{f"other{i}": np.zeros(1, np.float32) for i in range(300)}}
    with pytest.raises(weights.PortError, match="and 260 more") as error:
        port(tensors, TEMPLATE)
    assert len(error.value.extra) == 300


def test_table_of_another_depth_is_data():
    """VGG19 needs only its numbers of convolutions: its last is torchvision's features.34."""
    table = vgg((2, 2, 4, 4, 4))
    rules = table.namings["torchvision"]
    assert [rule.parameter("features.34.weight") for rule in rules if rule.matches("features.34.weight")] == [
        "block5_conv4/kernel"
    ]
    assert len(table.targets) == 2 * 19
    assert set(VGG16.targets) == set(flatten(TEMPLATE))
