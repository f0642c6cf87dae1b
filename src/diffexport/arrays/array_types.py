"""The type of an array, for annotations."""

from typing import Any

import numpy as np

#: An array of any shape and any dtype, those of ``ml_dtypes`` among them.
Array = np.ndarray[Any, Any]
