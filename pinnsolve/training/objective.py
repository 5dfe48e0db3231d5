"""Objectives: residual vectors at points, and the weighted mean of their squares as a function of one flat vector.

With residual vectors r_k of N_k entries, one per term, and weights w_k and v_k,i, the loss of the parameters theta is

    L(theta) = sum_k  w_k / N_k  sum_i  v_k,i r_k,i(theta)^2,

the empirical risk of Raissi, Perdikaris & Karniadakis (2019), J. Comput. Phys. 378, eq. (3), where all v are 1. All that trains,
network weights and unknown coefficients alike, is one vector theta: second-order methods need its inner products.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from pinnsolve.training.chunks import Chunk, out_of_memory, part_of, rows_of, split
from pinnsolve.training.distributed import ALONE, Group, rows_of_all
from pinnsolve.training.evaluation import Evaluation, Value
from pinnsolve.training.gradients import CompilationError, CompiledStep, PlainStep, Residuals, means_of
from pinnsolve.training.jacobians import Jacobian
from pinnsolve.training.weights import Weights

if TYPE_CHECKING:
    from jaxtyping import Float

Points = Mapping[str, Tensor]
"""Point tensors by the name of their set."""

_Result = TypeVar("_Result")

_WORTH_A_WORKER = 100
"""Points, at least, for each chunk of those that are evaluated side by side."""


class Objective:
    """The weighted mean squares of residual vectors, as a function of all trainable parameters of a module.

    Args:
        module: Holds every parameter, network weights and unknowns; those with `requires_grad` make up the flat vector.
        residuals: Called with the points, returns one residual vector per term.
        points: Point tensors by name. They are kept as given and cast to the precision in force, so that a change
            from float32 to float64 and back moves no point.
        weights: Weight per term; 1 where none is given.
        chunk: Points, over all sets, to evaluate at a time, where every term is named as its set and a row of its residual
            follows from a row of its points; half as many when memory runs out. None: all at once.
        group: Ranks that share the points, where rows follow from rows; each is to make the same calls in the same order.

    Raises:
        ValueError: Nothing in the module can be trained, or (on first use) a weight names no term.
    """

    def __init__(
        self,
        module: nn.Module,
        residuals: Residuals,
        points: Points,
        *,
        weights: Mapping[str, float] | None = None,
        chunk: int | None = None,
        group: Group = ALONE,
    ) -> None:
        self.module = module
        self.group = group
        self._residuals = residuals
        self._chunk = chunk
        self._given_weights = dict(weights or {})
        self._weights = Weights()
        self._weight_vector: Tensor | None = None
        self._names: tuple[str, ...] = ()
        self._parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        if not self._parameters:
            raise ValueError("The module has no parameter that requires a gradient: there is nothing to train.")
        self._sizes = [parameter.numel() for parameter in self._parameters]
        self._step: PlainStep | CompiledStep = PlainStep(self._parameters, residuals)
        self._given = dict(points)
        self._place()

    def compile(self, *, chunk: int | None = None) -> None:
        """Evaluate gradients by a compiled step from now on, in this precision and, when it changes, in others.

        A step that fails to compile later on is replaced by a plain one, with a warning.

        Args:
            chunk: As for the constructor; each of torch's threads has one. None keeps it.

        Raises:
            CompilationError: It cannot be compiled, or is wrong when compiled; everything is as before.
        """
        before = self._step, self._chunk
        self._step = CompiledStep(self.module, self._residuals)
        try:
            self._resize(chunk)
            self._step.total(self._chunks[:1], self._counts, self._weights_of)
        except CompilationError:
            self._step, self._chunk = before
            self._place()
            raise

    def use(self, residuals: Residuals, *, chunk: int | None = None) -> None:
        """Evaluate by plain steps of other residuals from now on, which must be the same function.

        Args:
            residuals: As for the constructor.
            chunk: As for the constructor; None keeps it.
        """
        self._residuals = residuals
        self._step = PlainStep(self._parameters, residuals)
        self._resize(chunk)

    @property
    def chunk(self) -> int | None:
        """Points, over all sets, that are evaluated at a time; None for all."""
        return self._chunk

    @property
    def workers(self) -> int:
        """How many chunks are evaluated side by side."""
        return self._step.workers

    @property
    def chunks(self) -> Sequence[Chunk]:
        """The parts that the points of this rank are cut into."""
        return self._chunks

    @property
    def size(self) -> int:
        """Length of the flat vector."""
        return sum(self._sizes)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of parameters and points."""
        return self._parameters[0].dtype

    @property
    def device(self) -> torch.device:
        """Device of parameters and points."""
        return self._parameters[0].device

    @property
    def points(self) -> Points:
        """The points in use, in the precision in force."""
        return self._points

    @property
    def share(self) -> Points:
        """Those of the points in use that this rank evaluates; sets of which it has none are left out."""
        if self.group.size == 1:
            return self._points
        cut = {id(tensor): tensor[: self._counted[name]] for name, tensor in self._own.items()}
        return {name: cut[id(tensor)] for name, tensor in self._own.items() if self._counted[name]}

    @property
    def heights(self) -> list[int]:
        """How many rows of the Jacobian each rank has."""
        size, lengths = self.group.size, [len(tensor) for tensor in self._points.values()]
        return [sum(len(rows_of(length, rank, size)) for length in lengths) for rank in range(size)]

    @property
    def count(self) -> int:
        """Number of points over all sets: what the cost of one evaluation is proportional to."""
        return sum(len(tensor) for tensor in self._points.values())

    @property
    def rows(self) -> int:
        """Number of points over all sets; those that sets share count once."""
        return sum({id(tensor): len(tensor) for tensor in self._points.values()}.values())

    @property
    def vector(self) -> Float[Tensor, " parameters"]:
        """A copy of all trainable parameters as one vector; assigning to it sets them, on all ranks to those of the first."""
        return torch.cat([parameter.detach().reshape(-1) for parameter in self._parameters])

    @vector.setter
    def vector(self, vector: Float[Tensor, " parameters"]) -> None:
        vector = self.group.same(vector)
        with torch.no_grad():
            for parameter, part in zip(self._parameters, vector.split(self._sizes), strict=True):
                parameter.copy_(part.view_as(parameter))

    @property
    def weights(self) -> Weights:
        """The weights that change, times which those given at the start count; 1 until they are assigned to."""
        return self._weights

    @weights.setter
    def weights(self, weights: Weights) -> None:
        self._weights = weights
        self._place()

    def reweigh(self, weights: Mapping[str, float]) -> None:
        """Put others in the place of the weights given at the start, of the terms that are named."""
        self._given_weights |= weights
        self._place()

    @property
    def terms(self) -> dict[str, float]:
        """The weight of every term in all, that of its points aside."""
        if not self._names:
            self.value()
        return dict(zip(self._names, self._weights_of(self._names).tolist(), strict=True))

    def replace_points(self, points: Points) -> None:
        """Use other points from now on; sets that are not named stay as they are, and the weights of points are 1 again.

        Args:
            points: Tensors by the name of an existing set.

        Raises:
            ValueError: A name that is not among the sets.
        """
        if unknown := sorted(set(points) - set(self._given)):
            raise ValueError(f"No point sets are named {unknown}; there are {sorted(self._given)}.")
        self._given.update(points)
        self.weights = self._weights.without_points()

    def state(self) -> dict[str, Any]:
        """Return points, weights and the size of a chunk, for a checkpoint; parameters and their precision are the module's."""
        return {"points": self._given, "weights": self._weights.state(), "chunk": self._chunk}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on with what `state` returned.

        Raises:
            ValueError: It has points of other sets.
        """
        if set(state["points"]) != set(self._given):
            raise ValueError(f"points of {sorted(state['points'])} in place of {sorted(self._given)}")
        self._given = dict(state["points"])
        self._weights = Weights.load(state["weights"])
        self._resize(None if state["chunk"] is None else int(state["chunk"]))

    def to(self, dtype: torch.dtype) -> None:
        """Change the precision of module and points.

        Args:
            dtype: A floating-point type.
        """
        self.module.to(dtype)
        self._place()

    def residuals(self) -> dict[str, Tensor]:
        """Evaluate one residual vector per term, differentiable with respect to the parameters."""
        return dict(self._residuals(self._points))

    @property
    def shapes(self) -> list[torch.Size]:
        """Shapes of the parameters that the flat vector strings together."""
        return [parameter.shape for parameter in self._parameters]

    def jacobian(self, points: Points | None = None) -> Jacobian:
        """Return the Jacobian of the residuals with respect to the flat vector, on all points or on those given."""
        return Jacobian(self.module, self._residuals, self._points if points is None else points)

    def row_scales(self) -> Float[Tensor, " rows"]:
        """Return sqrt(w_k v_k,i / N_k) for every row of the Jacobian at `share`: scaled so, squares of rows add up to the loss."""
        of, numbers = self.terms, {name: len(tensor) for name, tensor in self._points.items()}
        ones = {name: tensor.new_ones(len(tensor)) for name, tensor in self.share.items()}
        return torch.cat(
            [(self._own_weights.get(n, one)[: len(one)] * (of[n] / numbers[n])).sqrt() for n, one in ones.items()]
        )

    def vectors(self) -> dict[str, Tensor]:
        """Evaluate one residual vector per term in chunks, not to be differentiated."""
        with torch.enable_grad():
            parts = self._in_chunks(lambda: [self._vectors_of(chunk) for chunk in self._chunks])
        if self.group.size == 1:
            return {name: torch.cat([part[name] for part in parts])[: self._counts.get(name)] for name in parts[0]}
        own = {name: torch.cat([part[name] for part in parts])[: len(self._own[name])] for name in parts[0]}
        return rows_of_all(own, self._counts, self.group)

    def gradients(self) -> dict[str, Tensor]:
        """Evaluate the flat gradient of every term without its weight, by a reverse pass for each."""
        rows = torch.eye(len(self.terms), dtype=self.dtype, device=self.device).unbind()
        return {
            name: self.group.total(self._in_chunks(partial(self._means_and_gradient, row))[1])[0]
            for name, row in zip(self._names, rows, strict=True)
        }

    def loss(self) -> Float[Tensor, ""]:
        """Evaluate the weighted sum of the terms' mean squares, differentiable with respect to the parameters."""
        residuals = self.residuals()
        return means_of(residuals, Chunk(self._points, None, self._of_points), {})[1] @ self._weights_of(
            tuple(residuals)
        )

    def value(self) -> Value:
        """Evaluate the loss without its gradient.

        The graph is recorded all the same: residuals may themselves differentiate with autograd.
        """
        (means,) = self.group.total(self._in_chunks(self._means))
        numbers = torch.cat([(means[1] @ self._weights_of(self._names))[None], means[0]])
        total, *terms = self.group.numbers(numbers)
        return Value(total, dict(zip(self._names, terms, strict=True)))

    def evaluate(self, vector: Float[Tensor, " parameters"] | None = None) -> Evaluation:
        """Evaluate loss and gradient with one forward and one reverse pass.

        Results that are not finite are returned, never raised: whoever chose the vector decides what they mean.

        Args:
            vector: Where to evaluate; the parameters are set to it and stay there. None: where they are.

        Returns:
            The loss, its flat gradient, and the terms.
        """
        if vector is not None:
            self.vector = vector
        means, gradient = self.group.total(*self._in_chunks(self._means_and_gradient))
        norm = torch.linalg.vector_norm(gradient)
        # The only wait for the device: every number the host needs comes over in one transfer.
        loss = means[1] @ self._weights_of(self._names)
        total, length, *terms = self.group.numbers(torch.cat([loss[None], norm[None], means[0]]))
        return Evaluation(total, gradient, length, dict(zip(self._names, terms, strict=True)))

    def _means(self) -> Tensor:
        first, *others = self._chunks
        with torch.enable_grad():
            total = self._means_of(first).detach()
            for chunk in others:
                total = total + self._means_of(chunk).detach()
        return total

    def _vectors_of(self, chunk: Chunk) -> dict[str, Tensor]:
        return {name: residual.detach() for name, residual in self._residuals(chunk.points).items()}

    def _means_and_gradient(self, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        of = self._weights_of if weights is None else lambda _: weights
        try:
            return self._step.total(self._chunks, self._counts, of)
        except CompilationError as error:
            warnings.warn(f"gradients go on uncompiled: {error}", stacklevel=2)
            self._step = PlainStep(self._parameters, self._residuals)
            return self._step.total(self._chunks, self._counts, of)

    def _in_chunks(self, evaluate: Callable[[], _Result]) -> _Result:
        """Evaluate, in smaller chunks when memory runs out."""
        while True:
            try:
                return evaluate()
            except (MemoryError, RuntimeError) as error:
                if self._chunk is None or self._chunk == 1 or not out_of_memory(error):
                    raise
            self._resize(max(1, min(self._chunk, self._rows) // 2))

    def _means_of(self, chunk: Chunk) -> Tensor:
        residuals = self._residuals(chunk.points)
        self._weights_of(tuple(residuals))
        return means_of(residuals, chunk, self._counts)

    def _weights_of(self, names: tuple[str, ...]) -> Tensor:
        if self._weight_vector is None or names != self._names:
            if unknown := sorted({*self._given_weights, *self._weights.terms, *self._weights.points} - set(names)):
                raise ValueError(f"Weights are given for {unknown}, which are not terms; the terms are {list(names)}.")
            weights = [self._given_weights.get(name, 1.0) * self._weights.terms.get(name, 1.0) for name in names]
            self._names = names
            self._weight_vector = torch.tensor(weights, dtype=self.dtype, device=self.device)
        return self._weight_vector

    def _resize(self, chunk: int | None) -> None:
        if chunk is not None:
            self._chunk = chunk
        self._place()

    def _place(self) -> None:
        """Cast the points, and cut those of this rank."""
        self._points, self._of_points = self._cast(self._given), self._cast(self._weights.points)
        self._weight_vector = None
        rank, size = self.group.rank, self.group.size
        self._own, self._own_weights = self._points, self._of_points
        if size > 1:
            self._own, self._own_weights = part_of(self._points, rank, size), part_of(self._of_points, rank, size)
        self._counted = {name: len(rows_of(len(tensor), rank, size)) for name, tensor in self._points.items()}
        self._rows = sum({id(tensor): len(tensor) for tensor in self._own.values()}.values())
        number = 1 if self._chunk is None else max(1, -(-self._rows // self._chunk))
        if self._chunk is not None and self._rows >= _WORTH_A_WORKER * self._step.workers:
            number += -number % self._step.workers
        self._chunks = split(self._own, number, weights=self._own_weights, counted=self._counted)
        whole = number == size == 1
        self._counts = {} if whole else {name: len(tensor) for name, tensor in self._points.items()}

    def _cast(self, points: Points) -> dict[str, Tensor]:
        # Sets that share a tensor go on sharing it: terms on the same points are evaluated together.
        cast = {id(tensor): tensor.to(device=self.device, dtype=self.dtype) for tensor in points.values()}
        return {name: cast[id(tensor)] for name, tensor in points.items()}
