"""Declare a differential equation in SymPy, solve it with a physics-informed neural network, and see how wrong the answer is.

Names are loaded when they are first used (PEP 562), so `import pinnsolve` imports neither torch nor SymPy.

Every public name has an example in its docstring. All begin where this one ends:

    >>> import numpy as np
    >>> import torch
    >>> from sympy import Eq, cos, exp, pi, sin, symbols
    >>> import pinnsolve as ps
    >>> x, y, z, t, k = symbols("x y z t k")
    >>> u, w, q = ps.fields("u", x, t), ps.fields("w", x, y), ps.fields("q", t)
    >>> square = ps.Box({x: (0, 1), y: (0, 1)})
    >>> decay = ps.Problem(
    ...     domain=ps.Interval(t, 0, 1), equations={"decay": Eq(q.diff(t), -q)}, conditions={"start": Eq(q(0), 1)}
    ... )
    >>> training = ps.Training(points={"decay": 20}, phases=[ps.LevenbergMarquardt(steps=10)])
    >>> solution = ps.solve(decay, ps.MLP(width=8, depth=1), training, ps.Exact({q: exp(-t)}), compile="off")
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pinnsolve.declaration.losses import Huber as Huber
    from pinnsolve.declaration.losses import StudentT as StudentT
    from pinnsolve.declaration.observations import Observations as Observations
    from pinnsolve.declaration.privacy import Privacy as Privacy
    from pinnsolve.declaration.quantities import Quantity as Quantity
    from pinnsolve.declaration.splits import BlockSplit as BlockSplit
    from pinnsolve.declaration.splits import GroupSplit as GroupSplit
    from pinnsolve.declaration.splits import RandomSplit as RandomSplit
    from pinnsolve.declaration.splits import RangeSplit as RangeSplit
    from pinnsolve.declaration.terms import on as on
    from pinnsolve.domains.balls import Ball as Ball
    from pinnsolve.domains.balls import Cylinder as Cylinder
    from pinnsolve.domains.balls import Disk as Disk
    from pinnsolve.domains.halfspaces import HalfSpace as HalfSpace
    from pinnsolve.domains.mesh import Mesh as Mesh
    from pinnsolve.domains.polygons import Polygon as Polygon
    from pinnsolve.domains.regions import Box as Box
    from pinnsolve.domains.regions import Interval as Interval
    from pinnsolve.domains.spreading import Graded as Graded
    from pinnsolve.domains.surfaces import Surface as Surface
    from pinnsolve.ensembles import Ensemble as Ensemble
    from pinnsolve.ensembles import solve_ensemble as solve_ensemble
    from pinnsolve.errors import DataError as DataError
    from pinnsolve.errors import MeshError as MeshError
    from pinnsolve.errors import ProblemError as ProblemError
    from pinnsolve.errors import UnsupportedError as UnsupportedError
    from pinnsolve.fitting import Limits as Limits
    from pinnsolve.manufactured_solutions import manufactured as manufactured
    from pinnsolve.monitoring.detectors import ADWIN as ADWIN
    from pinnsolve.monitoring.detectors import PageHinkley as PageHinkley
    from pinnsolve.monitoring.watch import monitor as monitor
    from pinnsolve.networks.architectures import MLP as MLP
    from pinnsolve.networks.architectures import ModifiedMLP as ModifiedMLP
    from pinnsolve.networks.architectures import PirateNet as PirateNet
    from pinnsolve.networks.architectures import ResNet as ResNet
    from pinnsolve.networks.symmetry import break_symmetry as break_symmetry
    from pinnsolve.operators import advect as advect
    from pinnsolve.operators import curl as curl
    from pinnsolve.operators import div as div
    from pinnsolve.operators import fields as fields
    from pinnsolve.operators import grad as grad
    from pinnsolve.operators import laplacian as laplacian
    from pinnsolve.problem import Problem as Problem
    from pinnsolve.reference.exact import Exact as Exact
    from pinnsolve.reference.finite_elements import FiniteElements as FiniteElements
    from pinnsolve.reference.solve import FiniteDifferences as FiniteDifferences
    from pinnsolve.reference.spectral import Spectral as Spectral
    from pinnsolve.reference.stream_function import StreamFunction as StreamFunction
    from pinnsolve.resumption import resume as resume
    from pinnsolve.solution import Solution as Solution
    from pinnsolve.solution import load as load
    from pinnsolve.solver import solve as solve
    from pinnsolve.training.decays import Cosine as Cosine
    from pinnsolve.training.decays import Exponential as Exponential
    from pinnsolve.training.decays import Plateau as Plateau
    from pinnsolve.training.gauss_newton import LevenbergMarquardt as LevenbergMarquardt
    from pinnsolve.training.krylov import GaussNewtonCG as GaussNewtonCG
    from pinnsolve.training.natural_gradient import SPRING as SPRING
    from pinnsolve.training.optimizers import SGD as SGD
    from pinnsolve.training.optimizers import AdaGrad as AdaGrad
    from pinnsolve.training.optimizers import Adam as Adam
    from pinnsolve.training.optimizers import AdamW as AdamW
    from pinnsolve.training.optimizers import RMSprop as RMSprop
    from pinnsolve.training.overlap import soft_dice as soft_dice
    from pinnsolve.training.overlap import soft_iou as soft_iou
    from pinnsolve.training.quasi_newton import BFGS as BFGS
    from pinnsolve.training.quasi_newton import LBFGS as LBFGS
    from pinnsolve.training.quasi_newton import SSBFGS as SSBFGS
    from pinnsolve.training.quasi_newton import SSBroyden as SSBroyden
    from pinnsolve.training.saddle_points import SaddlePoint as SaddlePoint
    from pinnsolve.training.schedule import Training as Training
    from pinnsolve.training.soap import SOAP as SOAP
    from pinnsolve.training.weighting import NTK as NTK
    from pinnsolve.training.weighting import Causal as Causal
    from pinnsolve.training.weighting import GradientNorm as GradientNorm
    from pinnsolve.training.weighting import ResidualAttention as ResidualAttention
    from pinnsolve.training.weighting import SelfAdaptive as SelfAdaptive
    from pinnsolve.weak_adversarial import WeakAdversarial as WeakAdversarial
    from pinnsolve.weak_adversarial import solve_weakly as solve_weakly

_HOMES = {
    "problem": ("Problem",),
    "operators": ("fields", "grad", "div", "curl", "laplacian", "advect"),
    "errors": ("ProblemError", "UnsupportedError", "DataError", "MeshError"),
    "declaration.terms": ("on",),
    "declaration.losses": ("Huber", "StudentT"),
    "declaration.observations": ("Observations",),
    "declaration.privacy": ("Privacy",),
    "declaration.quantities": ("Quantity",),
    "declaration.splits": ("BlockSplit", "GroupSplit", "RandomSplit", "RangeSplit"),
    "domains.balls": ("Ball", "Cylinder", "Disk"),
    "domains.halfspaces": ("HalfSpace",),
    "domains.mesh": ("Mesh",),
    "domains.polygons": ("Polygon",),
    "domains.regions": ("Box", "Interval"),
    "domains.spreading": ("Graded",),
    "monitoring.detectors": ("ADWIN", "PageHinkley"),
    "monitoring.watch": ("monitor",),
    "domains.surfaces": ("Surface",),
    "networks.architectures": ("MLP", "ModifiedMLP", "PirateNet", "ResNet"),
    "networks.symmetry": ("break_symmetry",),
    "training.decays": ("Cosine", "Exponential", "Plateau"),
    "training.gauss_newton": ("LevenbergMarquardt",),
    "training.krylov": ("GaussNewtonCG",),
    "training.natural_gradient": ("SPRING",),
    "training.optimizers": ("SGD", "AdaGrad", "Adam", "AdamW", "RMSprop"),
    "training.overlap": ("soft_dice", "soft_iou"),
    "training.quasi_newton": ("LBFGS", "BFGS", "SSBFGS", "SSBroyden"),
    "training.saddle_points": ("SaddlePoint",),
    "training.schedule": ("Training",),
    "training.soap": ("SOAP",),
    "training.weighting": ("NTK", "Causal", "GradientNorm", "ResidualAttention", "SelfAdaptive"),
    "reference.solve": ("FiniteDifferences",),
    "reference.finite_elements": ("FiniteElements",),
    "reference.exact": ("Exact",),
    "reference.spectral": ("Spectral",),
    "reference.stream_function": ("StreamFunction",),
    "resumption": ("resume",),
    "solution": ("Solution", "load"),
    "ensembles": ("Ensemble", "solve_ensemble"),
    "fitting": ("Limits",),
    "manufactured_solutions": ("manufactured",),
    "solver": ("solve",),
    "weak_adversarial": ("WeakAdversarial", "solve_weakly"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)

_OTHER_NAMES = {
    "divergence": "div",
    "gradient": "grad",
    "convect": "advect",
    "rectangle": "Box",
    "circle": "Disk",
    "sphere": "Ball",
}
"""What others call what is here, in small letters."""

_UNKNOWNS = ("unknown", "unknowns", "parameter", "parameters", "variable", "variables")
"""What others call a coefficient that is to be found: here it is a symbol, and nothing of ours."""


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name not in _HOME_OF:
        names = {public.lower(): public for public in __all__} | _OTHER_NAMES
        close = get_close_matches(name.lower(), names)
        meant = f"; perhaps ps.{names[close[0]]} was meant" if close else ""
        if name.lower() in _UNKNOWNS:
            meant = "; an unknown is a SymPy symbol, nu = symbols('nu'), and has its first value in Problem(unknowns={nu: 0.1})"
        raise AttributeError(
            f"module 'pinnsolve' has no attribute {name!r}{meant}; dir(pinnsolve) lists all that are public"
        )
    value = getattr(import_module(f"pinnsolve.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return [*__all__, "__version__"]
