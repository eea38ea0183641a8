import itertools
import subprocess
import sys
import threading

import pytest
import torch

from fracturelib.errors import ConfigError
from fracturelib.runtime import (
    choose_device,
    choose_precision,
    derive_seed,
    library_versions,
    read_batches,
    seeded,
    threads_for,
)


def test_streams_of_seeds_do_not_meet():
    names = ("order", "augment")
    seeds = {derive_seed(seed, name, epoch) for seed in range(20) for name in names for epoch in range(20)}
    assert len(seeds) == 20 * 2 * 20
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeded_repeats_inside_and_leaves_the_outside_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with seeded(7, "x"):
        first = torch.rand(3)
    with seeded(7, "x"):
        second = torch.rand(3)
    assert torch.equal(first, second)
    assert torch.equal(torch.rand(3), expected)


def test_a_device_that_is_not_there_is_an_error():
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    assert choose_device("auto").type in ("cpu", "mps")
    with pytest.raises(ConfigError, match="cuda"):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True, "avx512_bf16": False, "cpu_name": "bf16 lover"}, "float32"),
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True}, "bfloat16"),
        ({}, "float32"),
    ],
)
def test_bfloat16_is_chosen_where_the_processor_has_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert choose_precision("auto", torch.device("cpu")) == expected
    assert choose_precision("float32", torch.device("cpu")) == "float32"
    assert choose_precision("bfloat16", torch.device("cpu")) == "bfloat16"


def test_batches_are_read_in_order_and_not_far_ahead():
    started = []

    def read(item):
        started.append(item)
        return item * 2

    batches = read_batches(read, itertools.count(), size=4, device="cpu")  # an endless folder
    assert [next(batches), next(batches)] == [[0, 2, 4, 6], [8, 10, 12, 14]]
    assert len(started) == 8
    batches.close()
    assert list(read_batches(read, range(5), size=3, device="cuda")) == [[0, 2, 4], [6, 8]]


def test_an_error_while_reading_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        list(read_batches(lambda item: 1 // item, range(3), size=2, device="cpu"))


def test_seeded_draws_are_the_same_in_threads():
    expected = {}
    for name in range(20):
        with seeded(0, name):
            expected[name] = torch.rand(50)
    found = {}

    def draw(name):
        with seeded(0, name):
            found[name] = torch.cat([torch.rand(25), torch.rand(25)])

    threads = [threading.Thread(target=draw, args=(name,)) for name in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_small_matrices_are_computed_on_one_thread():
    class Small:
        small = True

    before = torch.get_num_threads()
    with threads_for(Small()):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    with threads_for(object()):
        assert torch.get_num_threads() == before


def test_versions_name_torch():
    assert library_versions()["torch"].split("+")[0] == torch.__version__.split("+")[0]


def test_importing_the_package_is_cheap_and_silent():
    code = "import sys, fracturelib, fracturelib.cli; print('torch' in sys.modules, 'pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"] and done.stderr == ""


@pytest.mark.slow
def test_no_module_changes_the_global_random_state_on_import():
    code = (
        "import random, numpy, torch, sklearn.preprocessing\n"  # which imports rich, if it is there, and that draws
        "random.seed(0); numpy.random.seed(0); torch.manual_seed(0)\n"
        "before = random.getstate(), numpy.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()\n"
        "import fracturelib.pipeline, fracturelib.plots, fracturelib.simulation\n"
        "after = random.getstate(), numpy.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()\n"
        "assert before == after"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
