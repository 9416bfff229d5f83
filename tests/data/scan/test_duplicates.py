"""Near duplicates: planted copies are found, look-alikes are not."""

import numpy as np
import pytest
from conftest import shared
from PIL import Image
from planted import plant

from jaxcam.data import drawn, scenes
from jaxcam.data.scan import duplicates, hashes, registration
from jaxcam.data.scan.groups import look_alikes
from jaxcam.data.scan.measures import small_copies

KINDS = ("recompressed", "resized", "cropped", "cropped on all sides", "mirrored", "turned")


def thumbnails(images):
    both = [small_copies(image) for image in images]
    return np.stack([luma for luma, _ in both]), np.stack([colour for _, colour in both])


def drawn_pictures(count, seed=0, size=64):
    rng = np.random.default_rng(seed)
    return [Image.fromarray(drawn.draw(int(rng.integers(111)), rng, size=size)) for _ in range(count)]


def scene_pictures(count, seed=0):
    rng = np.random.default_rng(seed)
    return [Image.fromarray(scenes.render(i % 2, (i // 2) % 2, rng, size=(96, 160))[0]) for i in range(count)]


def test_planted_copies_are_found_and_nothing_else():
    pictures = drawn_pictures(150) + scene_pictures(60)
    rng = np.random.default_rng(1)
    chosen = rng.permutation(len(pictures))[:60].tolist()
    copies = [plant(pictures[row], KINDS[number % len(KINDS)], rng) for number, row in enumerate(chosen)]
    luma, colour = thumbnails(pictures + copies)
    groups = duplicates.near_duplicates(luma, colour)
    wanted = {(row, len(pictures) + number) for number, row in enumerate(chosen)}
    found = {tuple(group) for group in groups}
    assert len(found & wanted) >= 0.95 * len(wanted)
    assert len(found & wanted) >= 0.95 * len(found)


def test_real_pictures_and_one_background():
    folder = shared() / "bart-vs-homer"
    files = sorted((folder / "SeveralBackgrounds").rglob("*.png"))[:40]
    files += sorted((shared() / "cats-dogs-small" / "val").rglob("*.jpg"))[:40]
    pictures = [Image.open(file).convert("RGB") for file in files]
    rng = np.random.default_rng(2)
    copies = [plant(picture, KINDS[number % 5], rng) for number, picture in enumerate(pictures[::4])]
    luma, colour = thumbnails(pictures + copies)
    groups = duplicates.near_duplicates(luma, colour)
    wanted = [[4 * number, len(pictures) + number] for number in range(len(copies))]
    assert groups == wanted


@pytest.mark.parametrize("view", hashes.VIEWS)
def test_hashes_of_turned_pictures(view):
    luma, _ = thumbnails(drawn_pictures(6))
    of_turned = hashes.hashes(np.ascontiguousarray(hashes.turned(luma, view)))
    np.testing.assert_allclose(hashes.turned_hashes(hashes.hashes(luma), view), of_turned, atol=1e-5)


def test_hashes_are_the_cosine_coefficients_of_scipy():
    from scipy.fft import dctn

    luma, _ = thumbnails(drawn_pictures(3))
    spectrum = dctn(luma.astype(np.float64), axes=(1, 2), norm="ortho")[:, :8, :8].reshape(3, -1)[:, 1:]
    expected = spectrum / np.linalg.norm(spectrum, axis=1, keepdims=True)
    np.testing.assert_allclose(hashes.hashes(luma), expected, atol=1e-5)


def test_the_search_equals_all_products(monkeypatch):
    monkeypatch.setattr(duplicates, "_TILE", (16, 24))  # several tiles
    rng = np.random.default_rng(3)
    base = rng.standard_normal((40, 63))
    values = np.concatenate([base, base + 0.3 * rng.standard_normal((40, 63)), base[::-1]])
    values = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
    pairs = duplicates.candidates(values, like=0.8, views=["as it is", "mirrored"])
    for first, second, view, likeness in zip(pairs.first, pairs.second, pairs.view, pairs.likeness, strict=True):
        turned = hashes.turned_hashes(values[[second]], view)[0]
        assert likeness == pytest.approx(values[first] @ turned, abs=1e-5)
    products = [values @ hashes.turned_hashes(values, view).T for view in ("as it is", "mirrored")]
    wanted = np.argwhere(np.triu(np.maximum(*products) >= 0.8, 1))
    assert sorted(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [tuple(p) for p in wanted.tolist()]


def test_a_set_of_one_picture_does_not_explode():
    values = np.ones((1500, 63), np.float32) / np.sqrt(63).astype(np.float32)
    pairs = duplicates.candidates(values, views=["as it is"])
    assert np.bincount(pairs.first).max() == duplicates.CANDIDATES
    luma = np.tile(thumbnails(drawn_pictures(1))[0], (300, 1, 1))
    assert duplicates.near_duplicates(luma, views=["as it is"]) == [list(range(300))]


def test_pictures_without_structure_are_like_no_other():
    flat = np.full((5, 64, 64), 77, np.uint8)
    assert not hashes.hashes(flat).any()
    assert duplicates.near_duplicates(flat) == []
    assert duplicates.near_duplicates(np.zeros((0, 64, 64), np.uint8)) == []
    assert duplicates.near_duplicates(np.zeros((1, 64, 64), np.uint8)) == []


def test_other_colours_are_another_picture():
    red = Image.fromarray(drawn.draw(drawn.CLASS_NAMES.index("red_disc"), np.random.default_rng(0), size=96))
    pixels = np.asarray(red)
    luma, colour = thumbnails([red, Image.fromarray(pixels[..., ::-1].copy()), red.convert("L").convert("RGB")])
    luma = np.repeat(luma[:1], 3, axis=0)  # the grey levels say nothing here
    groups = duplicates.near_duplicates(luma, colour)
    assert [0, 2] in groups or groups == [[0, 1, 2]]  # a grey copy is a copy
    pairs = duplicates.compare(luma, duplicates.candidates(hashes.hashes(luma)), colour)
    far = {(a, b): d for a, b, d in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.difference, strict=True)}
    assert np.isinf(far[0, 1])


def test_alignment_finds_a_known_cut():
    wide = scene_pictures(1)[0].resize((640, 384))
    cut = wide.crop((13, 4, 640 - 6, 384 - 8))
    luma, _ = thumbnails([wide, cut])
    assert registration.largest_difference(luma[:1], luma[1:])[0] < 1
    pasted = np.asarray(cut).copy()
    pasted[100:160, 300:340] = (250, 20, 20)  # a figure of 1 % of the picture
    other, _ = thumbnails([Image.fromarray(pasted)])
    assert registration.largest_difference(luma[:1], other)[0] > 2


def test_shared_scenes_are_told_and_not_called_copies():
    rng = np.random.default_rng(4)
    pictures = [Image.fromarray(scenes.render(i % 2, i % 2, rng, size=(96, 160))[0]) for i in range(40)]
    luma, colour = thumbnails(pictures)
    pairs = duplicates.compare(luma, duplicates.candidates(hashes.hashes(luma)), colour)
    assert pairs.same.mean() < 0.02
    told = look_alikes(pairs, ["Ada" if i % 2 else "Bo" for i in range(40)], np.arange(40))
    assert told.shared
    assert told.tells_class
    mixed = look_alikes(pairs, ["Ada" if i < 20 else "Bo" for i in range(40)], np.arange(40))
    assert mixed.shared
    assert not mixed.tells_class
