import subprocess
import sys

import pytest
import torch

from fracturelib.errors import ConfigError
from fracturelib.runtime import choose_device, derive_seed, library_versions, seeded


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


def test_versions_name_torch():
    assert library_versions()["torch"].split("+")[0] == torch.__version__.split("+")[0]


def test_importing_the_package_is_cheap_and_silent():
    code = "import sys, fracturelib, fracturelib.cli; print('torch' in sys.modules, 'pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"] and done.stderr == ""


def test_no_module_changes_the_global_random_state_on_import():
    code = (
        "import random, numpy, torch\n"
        "random.seed(0); numpy.random.seed(0); torch.manual_seed(0)\n"
        "before = random.getstate(), numpy.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()\n"
        "import fracturelib.pipeline, fracturelib.plots, fracturelib.simulation\n"
        "after = random.getstate(), numpy.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()\n"
        "assert before == after"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
