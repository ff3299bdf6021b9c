"""What is random in the engine: the published generator, fair numbers, and the same ones for an image wherever it stands."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import Tensor

from harness.attacks.engine.draws import KeyedDraws, bits, image_keys, mixed, normal, signs, subkey, uniform

KEYS = mixed(torch.arange(100))


def unsigned(words: Tensor) -> list[int]:
    return [int(word) % 2**64 for word in words]


def test_the_words_are_those_of_splitmix64() -> None:
    # the first outputs of the published C code (Vigna 2015, public domain) for the seed 1234567
    wanted = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    assert unsigned(bits(torch.tensor([1234567]), 5)[0]) == wanted


def test_the_words_are_those_of_splitmix64_in_pythons_integers_for_keys_of_either_sign() -> None:
    def word(state: int, n: int) -> int:
        z = (state + n * 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    keys = torch.tensor([0, 1, -1, 2**63 - 1, -(2**63), 1234567, -987654321])
    assert [unsigned(row) for row in bits(keys, 20)] == [
        [word(key % 2**64, n) for n in range(1, 21)] for key in keys.tolist()
    ]


def test_uniform_numbers_are_uniform_and_exact_in_float32() -> None:
    u = uniform(KEYS, 1000)
    assert u.dtype == torch.float64
    assert float(u.min()) >= 0
    assert float(u.max()) < 1
    assert torch.equal(u.float().double(), u)
    assert stats.kstest(u.flatten().numpy(), "uniform").pvalue > 0.01
    # neighbours in a stream, and the same place of two streams, are independent: correlations within four sigma
    for one, other in ((u[:, :-1], u[:, 1:]), (u[:-1], u[1:])):
        pairs = torch.stack([one.flatten(), other.flatten()])
        assert abs(float(torch.corrcoef(pairs)[0, 1])) < 4 / pairs.shape[1] ** 0.5


def test_normal_numbers_are_normal() -> None:
    z = normal(KEYS, 1000).flatten()
    assert z.isfinite().all()
    assert stats.kstest(z.numpy(), "norm").pvalue > 0.01
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3)):
        spread = float((z**power).std()) / len(z) ** 0.5
        assert abs(float((z**power).mean()) - moment) < 4 * spread


def test_signs_are_fair() -> None:
    found = signs(KEYS, 1000)
    assert set(found.unique().tolist()) == {-1, 1}
    assert abs(float(found.double().mean())) < 4 / found.numel() ** 0.5


def test_the_finaliser_scatters_each_bit() -> None:
    # every bit of the input flips each bit of the output in half of the cases (0.5 of 2,000, within five sigma)
    z = mixed(torch.arange(2000) * 0x1234567)
    for bit in range(0, 64, 7):
        flipped = mixed(z) ^ mixed(z ^ (1 << bit if bit < 63 else -(2**63)))
        shares = torch.stack([((flipped >> k) & 1).double().mean() for k in range(64)])
        assert (shares - 0.5).abs().max() < 5 * 0.5 / 2000**0.5


def test_an_image_has_the_same_key_wherever_it_stands_and_no_other_image_has_it() -> None:
    x = torch.rand(2500, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    keys = image_keys(x)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    assert torch.equal(image_keys(x[order]), keys[order])
    assert torch.equal(torch.cat([image_keys(x[:1]), image_keys(x[1:40]), image_keys(x[40:])]), keys)
    assert torch.equal(image_keys(x.contiguous(memory_format=torch.channels_last)), keys)
    assert torch.equal(image_keys(x.double()), keys)
    assert len(keys.unique()) == len(x)
    touched = x[:48].clone()  # one pixel by the least that float32 knows, another one in each image
    flat = touched.view(48, 48)
    flat[torch.arange(48), torch.arange(48)] = flat.diagonal().nextafter(torch.tensor(2.0))
    assert (image_keys(touched) != keys[:48]).all()
    assert (image_keys(x.flip(3)) != keys).all()


def test_plain_images_have_keys_of_their_own() -> None:
    levels = torch.arange(256).view(-1, 1, 1, 1).expand(-1, 1, 8, 8) / 255
    dots = torch.eye(64).view(64, 1, 8, 8)
    keys = image_keys(torch.cat([levels, dots, 1 - dots]))
    assert len(keys.unique()) == 256 + 128


@pytest.mark.parametrize("gaussian", [False, True])
def test_a_start_depends_on_the_image_the_stage_the_target_and_the_seed_alone(gaussian: bool) -> None:
    shape, target = (3, 5, 5), torch.arange(100) % 10

    def start(seed: int = 0, stage: int = 1, rows: Tensor | slice = slice(None), turn: int = 0) -> Tensor:
        return KeyedDraws(seed).start(KEYS[rows], stage, (target[rows] + turn) % 10, shape, gaussian=gaussian)

    whole = start()
    assert whole.shape == (100, *shape)
    assert whole.dtype == torch.float64
    assert torch.equal(start(rows=slice(30, 41)), whole[30:41])
    order = torch.arange(99, -1, -1)
    assert torch.equal(start(rows=order), whole[order])
    everything = [whole, start(seed=1), start(stage=0), start(turn=1), start(seed=-1), start(seed=2**40)]
    for place, one in enumerate(everything):
        for other in everything[place + 1 :]:
            assert (one != other).flatten(1).any(1).all()
            assert abs(float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])) < 0.05
    if not gaussian:
        assert stats.kstest(whole.flatten().numpy(), "uniform", args=(-1, 2)).pvalue > 0.01


def test_what_square_draws_of_an_image_is_its_own_and_what_all_share_depends_on_seed_and_query() -> None:
    draws, cpu = KeyedDraws(3), torch.device("cpu")
    stripes, some = draws.stripes(KEYS, 3, 8), torch.tensor([5, 2, 77])
    assert stripes.shape == (100, 3, 1, 8)
    assert torch.equal(draws.stripes(KEYS[some], 3, 8), stripes[some])
    turned, tiles = draws.tiles(KEYS, 25, 3)
    again, few = draws.tiles(KEYS[some], 25, 3)
    assert torch.equal(turned, again)
    assert torch.equal(tiles[some], few)
    assert torch.equal(draws.window_signs(KEYS[some], 17, 3), draws.window_signs(KEYS, 17, 3)[some])
    assert not torch.equal(draws.window_signs(KEYS, 18, 3), draws.window_signs(KEYS, 17, 3))
    short, long = draws.squares(100, 3, cpu), draws.squares(5000, 3, cpu)
    assert torch.equal(short.row, long.row[:100])  # a smaller budget asks the first queries of a larger one
    assert torch.equal(short.column, long.column[:100])
    assert torch.equal(short.signs, long.signs[:100])
    assert not torch.equal(KeyedDraws(4).squares(100, 3, cpu).row, short.row)
    assert torch.equal(draws.windows(100, cpu)[0], draws.windows(5000, cpu)[0][:100])
    for u in (long.row, long.column, draws.windows(5000, cpu)[0].flatten()):
        assert stats.kstest(u.numpy(), "uniform").pvalue > 0.01
    assert abs(float(torch.corrcoef(torch.stack([long.row, long.column]))[0, 1])) < 4 / 5000**0.5
    for sign in (stripes, tiles, long.signs, 2.0 * draws.windows(5000, cpu)[1] - 1):
        assert abs(float(sign.double().mean())) < 4 / sign.numel() ** 0.5


def test_parts_of_a_key_are_told_apart() -> None:
    labels = torch.arange(-500, 500)
    assert len(subkey(torch.zeros(1000, dtype=torch.int64), labels).unique()) == 1000
    one, other = KEYS[:1], KEYS[1:2]
    assert subkey(subkey(one, 1), 2) != subkey(subkey(one, 2), 1)
    assert subkey(one, 1) != subkey(other, 1)
