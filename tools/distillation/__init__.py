"""The parts of `tools.distill_trunk`: pictures, networks, targets and the state on disk."""
