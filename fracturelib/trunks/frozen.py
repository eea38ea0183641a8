"""A network cut in two at its frozen boundary, and its frozen part made fast."""

from __future__ import annotations

import copy

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fracturelib.errors import ConfigError
from fracturelib.runtime import choose_precision
from fracturelib.trunks.state import state_fingerprint


class FrozenPart:
    """What a trunk computes before its lowest trained stage, and what it computes from there on.

    A plain object: a module that holds it does not take the trunk's modules for further ones of its own.

    Attributes:
        lower: images (B, 3, S, S) → features (B, F), or maps (B, C, H, W) where a stage is trained; None where the
            trunk cannot be cut at that stage, so that all of it is `upper`.
        upper: maps (B, C, H, W) → features (B, F); None where the whole trunk is frozen.

    Args:
        trunk: the network; the two parts share its modules.
        stage: name of the lowest trained module; None where there is none.
        fast: run a copy of `lower` with its batch norm folded, in the precision asked for; otherwise `lower` itself.
    """

    def __init__(self, trunk: nn.Module, stage: str | None, *, fast: bool = True) -> None:
        self.lower: nn.Module | None
        self.upper: nn.Module | None
        self.lower, self.upper = (traced(trunk), None) if stage is None else cut(trunk, stage) or (None, trunk)
        self.fast = fast
        self._copies: dict[str, tuple[nn.Module, torch.dtype]] = {}  # by the name of their precision

    @torch.no_grad()
    def __call__(self, images: torch.Tensor, *, precision: str) -> torch.Tensor:
        """Images (B, 3, S, S) → float32 features (B, F) or maps (B, C, H, W); the images where nothing is frozen."""
        if self.lower is None:
            return images
        if not self.fast:
            return self.lower(images)
        if precision not in self._copies:
            dtype = _dtype(choose_precision(precision, images.device))
            self._copies[precision] = frozen_copy(self.lower, dtype), dtype
        copied, dtype = self._copies[precision]
        return copied(images.to(dtype=dtype).contiguous(memory_format=torch.channels_last)).float()

    def forget(self) -> None:
        """Make the copy anew at the next call, since the weights were moved or replaced."""
        self._copies.clear()

    def fingerprint(self) -> str:
        """SHA-256 over the tensors of the frozen part."""
        return state_fingerprint(self.lower or nn.Identity())


def _dtype(precision: str) -> torch.dtype:
    if precision == "int8":
        cause, cure = "its engine was not made", "model.engine = make_engine(…), or another precision"
        raise ConfigError("the trunk computes in int8 only by an engine", cause=cause, cure=cure)
    return getattr(torch, precision)


def traced(network: nn.Module) -> nn.Module:
    """The network as a graph of its operations, sharing its modules; the network itself where it cannot be traced."""
    try:
        return fx.GraphModule(network, fx.Tracer().trace(network))
    except Exception:  # what a forward method does that a trace cannot follow raises a dozen kinds of error
        return network


def cut(network: nn.Module, stage: str) -> tuple[fx.GraphModule, fx.GraphModule] | None:
    """A network divided before the module `stage`: the graphs before it and from it on, which share its modules.

    Returns None where a network cannot be divided so: nothing comes before the stage, more than one tensor crosses the
    cut (it lies inside a residual block), or the network cannot be traced.
    """
    graph = getattr(traced(network), "graph", None)
    if graph is None:
        return None
    nodes = list(graph.nodes)
    places = [place for place, node in enumerate(nodes) if _belongs_to(node, stage)]
    before = set(nodes[: places[0]]) if places else set()
    crossing = {source for node in nodes if node not in before for source in node.all_input_nodes if source in before}
    if len(crossing) != 1 or (border := crossing.pop()).op == "placeholder":
        return None
    lower, upper = fx.Graph(), fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in nodes[: places[0]]:
        copies[node] = lower.node_copy(node, copies.__getitem__)
    lower.output(copies[border])
    copies = {border: upper.placeholder("maps")}
    for node in nodes[places[0] :]:
        copies[node] = upper.node_copy(node, copies.__getitem__)
    return fx.GraphModule(network, lower), fx.GraphModule(network, upper)


def frozen_copy(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy that computes the same in eval mode, faster: batch norm folded, channels-last, in `dtype`; never trained.

    Batch norm with fixed statistics scales and shifts each channel, which the convolution before it can do itself
    (Jacob et al., CVPR 2018, section 3.2). Channels-last is the layout in which processors and GPUs convolve fastest.
    """
    copied = copy.deepcopy(network).eval()
    if isinstance(copied, fx.GraphModule):
        _fold_batch_norm(copied)
        _pool_before_relu(copied)
        copied.recompile()
        copied.delete_all_unused_submodules()
    return copied.requires_grad_(False).to(dtype=dtype).to(memory_format=torch.channels_last)


def _belongs_to(node: fx.Node, stage: str) -> bool:
    return node.op == "call_module" and f"{node.target}.".startswith(f"{stage}.")


def _fold_batch_norm(network: fx.GraphModule) -> None:
    """In place: every convolution takes over the batch norm that alone follows it."""
    modules = dict(network.named_modules())
    uses = [node.target for node in network.graph.nodes if node.op == "call_module"]
    for node in list(network.graph.nodes):
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        source = node.args[0]
        convolution = modules.get(source.target) if source.op == "call_module" else None
        if isinstance(convolution, nn.Conv2d) and len(source.users) == 1 and uses.count(source.target) == 1:
            network.set_submodule(source.target, fuse_conv_bn_eval(convolution, modules[node.target]))
            node.replace_all_uses_with(source)
            network.graph.erase_node(node)


def _pool_before_relu(network: fx.GraphModule) -> None:
    """In place: the largest of some values, cut off at zero, is the largest of the cut-off values, for less work."""
    modules = dict(network.named_modules())
    for node in network.graph.nodes:
        source = node.args[0] if node.args else None
        if not isinstance(source, fx.Node) or {node.op, source.op} != {"call_module"} or len(source.users) > 1:
            continue
        if isinstance(modules[node.target], nn.MaxPool2d) and isinstance(modules[source.target], nn.ReLU):
            node.target, source.target = source.target, node.target
