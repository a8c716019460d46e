"""Types of arrays."""

import numpy as np
from numpy.typing import NDArray

ByteArray = NDArray[np.uint8]
Flags = NDArray[np.bool_]
Places = NDArray[np.int64]
"""Places in a file, or in a part of one."""
