"""One geometry for numpy and torch: functions ask what made the array that they are given, and go on with that.

Images are cut out and compared with plain numbers, and wait for numpy alone; parameters are refined through the
reverse mode of torch. Both name alike what geometry needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    Array = TypeVar("Array", NDArray[Any], Tensor)
else:
    Array = TypeVar("Array")


def namespace(array: object) -> Any:
    """numpy for its arrays, torch for its tensors."""
    if isinstance(array, np.ndarray | np.generic):
        return np
    import torch  # loaded by whoever made the tensor

    return torch


def as_one_of(array: Array, values: Any) -> Array:
    """Plain numbers as an array of the same kind, precision and device as another."""
    return namespace(array).asarray(values, dtype=array.dtype, device=array.device)
