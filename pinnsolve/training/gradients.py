"""Gradients: the means of squared residuals on a chunk of points and the gradient of their weighted sum, plain or compiled.

A compiled step is the whole of it, residuals and reverse pass, captured once as a graph of elementary tensor operations on one
flat parameter vector, and given to `torch.compile`. Nothing is left to differentiate, so none of the compiler's own rules for
derivatives are involved. Every compiled step is compared with the plain one before it is believed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from pinnsolve.training.chunks import Chunk
from pinnsolve.training.compiler_cache import private_cache
from pinnsolve.training.workers import Workers, added, single_threaded

Residuals = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
"""From the points to one residual vector per term; terms need not be named as the point sets are."""

TermWeights = Callable[[tuple[str, ...]], Tensor]
"""From the names of the terms to their weights, shape (terms,)."""

_AGREEMENT = {torch.float64: 1e-9, torch.float32: 1e-3}
"""Largest difference between compiled and plain gradients, relative to the longer of them, that rounding explains."""


class CompilationError(RuntimeError):
    """A step that cannot be compiled, or that is wrong when compiled."""


def means_of(residuals: Mapping[str, Tensor], chunk: Chunk, counts: Mapping[str, int]) -> Tensor:
    """Return what a chunk adds to the mean square of every term, plain and weighted by point, shape (2, terms).

    Args:
        residuals: One vector per term.
        chunk: Where they were evaluated.
        counts: Rows over all chunks, for each term that is named as its set; the length of the vector for others.
    """
    plain, weighted = [], []
    for name, residual in residuals.items():
        square = residual.square()
        if chunk.masks is not None:
            square = square * chunk.masks[name]
        count = counts.get(name, square.numel())
        plain.append(square.sum() / count)
        weighted.append((square * chunk.weights[name]).sum() / count if name in chunk.weights else plain[-1])
    return torch.stack([torch.stack(plain), torch.stack(weighted)])


class PlainStep:
    """One forward and one reverse pass.

    Args:
        parameters: What the gradient is taken with respect to.
        residuals: Evaluates the terms with them.
    """

    workers = 1
    """How many chunks are evaluated side by side."""

    def __init__(self, parameters: list[nn.Parameter], residuals: Residuals) -> None:
        self._parameters, self._residuals = parameters, residuals

    def total(self, chunks: Sequence[Chunk], counts: Mapping[str, int], weights: TermWeights) -> tuple[Tensor, Tensor]:
        """Return the sums over all chunks of what a call returns for each."""
        means, gradient = added(self(chunk, counts, weights) for chunk in chunks)
        return means, gradient

    def __call__(self, chunk: Chunk, counts: Mapping[str, int], weights: TermWeights) -> tuple[Tensor, Tensor]:
        """Return the means, shape (2, terms), and the flat gradient of the weighted ones' sum times the weights."""
        with torch.enable_grad():
            residuals = self._residuals(chunk.points)
            means = means_of(residuals, chunk, counts)
            loss = means[1] @ weights(tuple(residuals))
            parts = torch.autograd.grad(loss, self._parameters, allow_unused=True, materialize_grads=True)
        return means.detach(), torch.cat([part.reshape(-1) for part in parts])


class CompiledStep:
    """The same in one compiled function for every precision and every shape of the chunk.

    On a processor each of torch's threads evaluates chunks of its own.

    Args:
        module: Holds the parameters.
        residuals: Evaluates the terms with the module's parameters.
    """

    def __init__(self, module: nn.Module, residuals: Residuals) -> None:
        self._names = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
        self._parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self._plain = PlainStep(self._parameters, residuals)
        self._residuals = ResidualModule(module, residuals)
        self._terms: tuple[str, ...] = ()
        self._compiled: dict[tuple[Any, ...], Callable[..., tuple[Tensor, Tensor]]] = {}
        self._workers = Workers(1 if self._parameters[0].is_cuda else torch.get_num_threads())

    @property
    def workers(self) -> int:
        """How many chunks are evaluated side by side."""
        return self._workers.count

    def total(self, chunks: Sequence[Chunk], counts: Mapping[str, int], weights: TermWeights) -> tuple[Tensor, Tensor]:
        """Return the means, shape (2, terms), and the flat gradient of the weighted ones' sum times the weights.

        Args:
            chunks: Of one shape.
            counts: Rows over all chunks, as for `means_of`.
            weights: Of the terms.

        Raises:
            CompilationError: The first call for a shape does not compile, or differs from the plain step.
        """
        vector = torch.cat([parameter.detach().reshape(-1) for parameter in self._parameters])
        inputs = [_Inputs(chunk) for chunk in chunks]
        key = (vector.dtype, vector.device, inputs[0].key, tuple(counts.items()))
        if key not in self._compiled:
            with single_threaded():
                expected = self._plain(chunks[0], counts, self._named(weights))
                arguments = (vector, weights(self._terms), *inputs[0].tensors)
                self._compiled[key] = self._compile(inputs[0], counts, arguments, expected)
        evaluate = partial(self._call, self._compiled[key], vector, weights(self._terms))
        means, gradient = self._workers.total(evaluate, inputs)
        return means, gradient

    @staticmethod
    @torch.no_grad()
    def _call(
        compiled: Callable[..., tuple[Tensor, Tensor]], vector: Tensor, weights: Tensor, inputs: _Inputs
    ) -> tuple[Tensor, Tensor]:
        means, gradient = compiled(vector, weights, *inputs.tensors)
        # A compiled step on a GPU may use its outputs' memory again at the next call.
        return (means.clone(), gradient.clone()) if vector.is_cuda else (means, gradient)

    def _named(self, weights: TermWeights) -> TermWeights:
        def remember(names: tuple[str, ...]) -> Tensor:
            self._terms = names
            return weights(names)

        return remember

    def _compile(
        self, inputs: _Inputs, counts: Mapping[str, int], arguments: tuple[Tensor, ...], expected: tuple[Tensor, Tensor]
    ) -> Callable[..., tuple[Tensor, Tensor]]:
        shapes = [parameter.shape for parameter in self._parameters]

        def step(vector: Tensor, weights: Tensor, *tensors: Tensor) -> tuple[Tensor, Tensor]:
            leaves = [
                part.reshape(shape).detach().requires_grad_()
                for part, shape in zip(vector.split([shape.numel() for shape in shapes]), shapes, strict=True)
            ]
            named = {f"module.{name}": leaf for name, leaf in zip(self._names, leaves, strict=True)}
            chunk = inputs.chunk(tensors)
            with torch.enable_grad():
                residuals = torch.func.functional_call(self._residuals, named, (chunk.points,))
                means = means_of(residuals, chunk, counts)
                parts = torch.autograd.grad(means[1] @ weights, leaves, allow_unused=True, materialize_grads=True)
            return means.detach(), torch.cat([part.reshape(-1) for part in parts])

        try:
            with warnings.catch_warnings(), private_cache():
                warnings.simplefilter("ignore")  # torch's tracers warn about their own ways
                graph = make_fx(step)(*arguments)
                compiled = torch.compile(graph, dynamic=False, fullgraph=True, options=_options(arguments[0].device))
                found = self._call(compiled, arguments[0], arguments[1], inputs)
        except Exception as error:  # a compiler may fail in any way, and the plain step is always there
            raise CompilationError(_first_line(error)) from error
        _compare(found, expected)
        return compiled


def _options(device: torch.device) -> dict[str, Any]:
    """Options of the compiler: no guards, because this module chooses the function by shape and type; graphs on a GPU."""
    options: dict[str, Any] = {"cpp.threads": 1}
    if (skip := getattr(torch.compiler, "skip_all_guards_unsafe", None)) is not None:
        options["guard_filter_fn"] = skip
    if device.type == "cuda":
        options["triton.cudagraphs"] = True
    return options


class ResidualModule(nn.Module):
    """Residuals as a module, so that torch can call them with other parameters; those of `module` are named `module.…`."""

    def __init__(self, module: nn.Module, residuals: Residuals) -> None:
        super().__init__()
        self.module = module
        self._residuals = residuals

    def forward(self, points: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Evaluate the terms."""
        return self._residuals(points)


class _Inputs:
    """The distinct tensors of a chunk, and how to put a chunk together from others of their shapes."""

    def __init__(self, chunk: Chunk) -> None:
        tensors = [*chunk.points.values(), *(chunk.masks or {}).values(), *chunk.weights.values()]
        distinct = {id(tensor): tensor for tensor in tensors}
        self.tensors = tuple(distinct.values())
        order = {key: k for k, key in enumerate(distinct)}
        self._points = {name: order[id(tensor)] for name, tensor in chunk.points.items()}
        masks = chunk.masks
        self._masks = None if masks is None else {name: order[id(tensor)] for name, tensor in masks.items()}
        self._weights = {name: order[id(tensor)] for name, tensor in chunk.weights.items()}
        places = tuple(self._points.items()), tuple((self._masks or {}).items()), tuple(self._weights.items())
        self.key = (*places, tuple(tensor.shape for tensor in self.tensors))

    def chunk(self, tensors: tuple[Tensor, ...]) -> Chunk:
        """Return the chunk that these tensors make up."""
        masks = None if self._masks is None else {name: tensors[k] for name, k in self._masks.items()}
        weights = {name: tensors[k] for name, k in self._weights.items()}
        return Chunk({name: tensors[k] for name, k in self._points.items()}, masks, weights)


def _compare(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        if not torch.equal(torch.isfinite(one), torch.isfinite(other)):
            raise CompilationError("the compiled step is not finite where the plain one is, or the other way round")
        size = other.nan_to_num(0.0, 0.0, 0.0).abs().max().item()
        difference = (one - other).nan_to_num(0.0, 0.0, 0.0).abs().max().item()
        if difference > _AGREEMENT[other.dtype] * size:
            raise CompilationError(f"the compiled step differs from the plain one by {difference:.1e} in {size:.1e}")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"
