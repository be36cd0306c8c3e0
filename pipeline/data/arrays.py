"""Names for the types of arrays, by the kind of number that they hold."""

import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
UInt16Array = NDArray[np.uint16]
UInt64Array = NDArray[np.uint64]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
