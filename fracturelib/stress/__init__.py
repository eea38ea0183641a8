"""What a trained model is put through: worse pictures, where it looks, what erasing the fracture does."""

from fracturelib.stress.probing import Probes, run_probes
from fracturelib.stress.robustness import PERTURBATIONS, describe_level, perturb, robustness_table, subset

__all__ = ["PERTURBATIONS", "Probes", "describe_level", "perturb", "robustness_table", "run_probes", "subset"]
