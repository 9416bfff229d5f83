"""Backgrounds exchanged on the device, and pictures marked with their masks."""

import colour_model
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from jaxcam import devices
from jaxcam.config import Config, Data, Network, Phase
from jaxcam.data.augment import Augment, augment
from jaxcam.data.backgrounds import marked
from jaxcam.data.exchange import draws, exchange, filled
from jaxcam.data.folder import load_folder
from jaxcam.data.loader import batches
from jaxcam.errors import UserError
from jaxcam.networks import Head
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress
from jaxcam.training.command import train

pytestmark = pytest.mark.usefixtures("quick_compilation")
QUIET = Progress(quiet=True)
PLAIN = Preprocessing.named("unit", size=colour_model.SIZE, resize="nearest")


def batch(scenes=colour_model.OWN, count: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Marked pictures of both classes, and their masks."""
    drawn = [colour_model.picture(n % 2, scenes[n % 2], n) for n in range(count)]
    pixels, masks = (np.stack(values) for values in zip(*drawn, strict=True))
    pixels[..., 2] = pixels[..., 2] & 254 | masks
    return pixels, masks


def test_objects_stand_before_other_pictures_backgrounds():
    pixels, masks = batch()
    key = jax.random.key(1)
    chosen, partners = (np.asarray(values) for values in draws(1.0, key, 4))
    assert chosen.all()
    found = np.asarray(exchange(1.0, key, jnp.asarray(pixels)))
    for row, partner in enumerate(partners.tolist()):
        inside = masks[row] & np.roll(masks[row], 2, 0) & np.roll(masks[row], -2, 0)
        inside &= np.roll(masks[row], 2, 1) & np.roll(masks[row], -2, 1)
        np.testing.assert_allclose(found[row][inside], pixels[row][inside] & np.array([255, 255, 254]), atol=1e-3)
        lent = ~masks[row] & ~np.asarray(
            jax.scipy.signal.convolve(masks[partner] * 1.0, jnp.ones((9, 9)), "same") > 0.5
        )
        np.testing.assert_allclose(found[row][lent], pixels[partner][lent] & np.array([255, 255, 254]), atol=1e-3)


def test_no_share_and_no_mask_change_nothing():
    pixels, _ = batch()
    clean = pixels & np.array([255, 255, 254], np.uint8)
    key = jax.random.key(0)
    np.testing.assert_array_equal(exchange(0.0, key, jnp.asarray(pixels)), clean)
    np.testing.assert_array_equal(exchange(1.0, key, jnp.asarray(clean)), clean)
    np.testing.assert_array_equal(exchange(1.0, key, jnp.asarray(pixels[:1])), clean[:1])


def test_padding_lends_no_background():
    pixels, masks = batch(count=3)
    padded = np.concatenate([pixels, np.zeros_like(pixels)])
    for seed in range(3):
        found = np.asarray(exchange(1.0, jax.random.key(seed), jnp.asarray(padded)))[:3]
        assert found[~masks].min() > 50


def test_the_same_on_one_device_and_on_two():
    pixels = jnp.asarray(batch()[0])
    key = jax.random.key(3)
    step = jax.jit(lambda x: exchange(0.5, key, x))
    parts = jax.device_put(pixels, jax.NamedSharding(devices.mesh(), PartitionSpec("data")))
    np.testing.assert_allclose(step(parts), step(pixels), atol=1e-4)


def test_holes_are_filled_from_around_them():
    ramp = np.broadcast_to(np.linspace(50, 200, 40, dtype=np.float32)[None, :, None], (30, 40, 3))[None]
    hole = np.zeros((1, 30, 40), bool)
    hole[0, 10:16, 15:22] = True
    found = np.asarray(filled(jnp.asarray(np.where(hole[..., None], 0, ramp)), jnp.asarray(hole)))
    np.testing.assert_array_equal(found[~hole], ramp[~hole])
    assert np.abs(found - ramp)[hole].max() < 20
    nothing = np.asarray(filled(jnp.zeros((1, 5, 7, 3)), jnp.ones((1, 5, 7), bool)))
    assert np.isfinite(nothing).all()


def test_pictures_are_marked_with_given_and_with_derived_masks(tmp_path):
    colour_model.write(tmp_path / "Train", colour_model.OWN, count=10, masks=tmp_path / "masks")
    images = load_folder(tmp_path / "Train")
    (tmp_path / "masks" / "red" / "03.png").unlink()
    for masks in (str(tmp_path / "masks"), "derived"):
        found = marked(images, masks, PLAIN, progress=QUIET)
        assert found.fingerprint() == images.fingerprint()
        read = next(batches(found, PLAIN, batch_size=len(found)))
        for row, path in enumerate(found.paths):
            label, number = colour_model.NAMES.index(path.split("/")[0]), int(path[-6:-4])
            pixels, mask = colour_model.picture(label, colour_model.OWN[label], 100 * label + number)
            bits = (read.images[row][..., 2] & 1) > 0
            np.testing.assert_array_equal(
                read.images[row] | np.array([0, 0, 1], np.uint8), pixels | np.array([0, 0, 1])
            )
            if masks == "derived" or path != "red/03.png":
                assert (bits != mask).mean() < 0.02
            else:
                assert not bits.any()


def test_masks_that_cannot_be_used_are_told(tmp_path):
    images = load_folder(colour_model.write(tmp_path / "Train", colour_model.OWN, count=4))
    for masks, said in (
        (str(tmp_path / "no"), "is no folder"),
        (str(tmp_path), "no mask"),
        ("derived", "8 are needed"),
    ):
        folder = tmp_path / "void" if masks == str(tmp_path) else tmp_path
        folder.mkdir(exist_ok=True)
        with pytest.raises(UserError, match=said):
            marked(images, str(folder) if masks == str(tmp_path) else masks, PLAIN, progress=QUIET)
    (tmp_path / "masks" / "red").mkdir(parents=True)
    (tmp_path / "masks" / "red" / "00.png").write_bytes(b"broken")
    with pytest.raises(UserError, match="cannot be read"):
        marked(images, str(tmp_path / "masks"), PLAIN, progress=QUIET)


def test_augment_exchanges_before_it_moves():
    pixels = jnp.asarray(batch()[0])
    key = jax.random.key(5)
    both = augment(Augment(backgrounds=1.0, horizontal_flip=True), key, pixels)
    swapped = exchange(1.0, jax.random.fold_in(key, 2), pixels)
    np.testing.assert_array_equal(both, augment(Augment(horizontal_flip=True), key, swapped))
    with pytest.raises(UserError, match=r"augment.backgrounds is 1.5"):
        Augment(backgrounds=1.5)


def test_the_background_tells_nothing_any_more():
    """Before: each class has its own scene. After: both scenes are behind both classes, about evenly."""
    pixels, masks = batch(count=32)
    found = [np.asarray(exchange(1.0, jax.random.key(seed), jnp.asarray(pixels))) for seed in range(4)]
    edge = ~(masks | np.roll(masks, 1, 1) | np.roll(masks, -1, 1))
    reddish = np.array(
        [[row[e][:, 0].mean() > row[e][:, 2].mean() for row, e in zip(f, edge, strict=True)] for f in found]
    )
    shares = [reddish[:, label::2].mean() for label in (0, 1)]
    assert max(abs(share - 0.5) for share in shares) < 0.15


def config(folder, *, masks: str, backgrounds: float, batch_size: int = 8) -> Config:
    augmented = Augment(backgrounds=backgrounds)
    phase = Phase(trainable="all", epochs=1, batch_size=batch_size, learning_rate=0.03, augment=augmented)
    return Config(
        data=Data(folder=str(folder), masks=masks),
        network=Network(name="convnet", weights="none", width=1 / 8, base_end="conv1", head=Head(kind="cam")),
        preprocessing=PLAIN,
        phases=(phase,),
    )


def test_training_exchanges_backgrounds(tmp_path):
    """It takes part in the training, and the pictures are still known as the same."""
    colour_model.write(tmp_path / "set" / "Train", colour_model.OWN, count=8)
    colour_model.write(tmp_path / "set" / "Valid", colour_model.OWN, count=2, first=30)
    found = {}
    for share in (0.0, 1.0):
        run = tmp_path / f"run{share}"
        train(config(tmp_path / "set", masks="derived", backgrounds=share), run, progress=QUIET)
        found[share] = (run / "history.jsonl").read_text(), (run / "data.json").read_text()
    assert found[0.0][0] != found[1.0][0]
    assert found[0.0][1] == found[1.0][1]


def test_a_config_that_lacks_masks_is_refused(tmp_path):
    for masks, size in (("", 8), ("derived", 1)):
        with pytest.raises(UserError, match=r"--data.masks FOLDER"):
            train(config(tmp_path, masks=masks, backgrounds=0.5, batch_size=size), tmp_path / "run", progress=QUIET)
