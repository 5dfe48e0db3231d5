"""Declare a differential equation in SymPy, solve it with a physics-informed neural network, see how wrong the answer is.

Names are loaded when they are first used (PEP 562), so `import pinnsolve` imports neither torch nor SymPy.
"""

from __future__ import annotations

__version__ = "0.1.0"
