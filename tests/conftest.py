"""One thread: the machine may be busy with other work, and sums must not depend on how many there are."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

try:
    import torch
except ModuleNotFoundError:
    pass  # the server's tests need none
else:
    torch.set_num_threads(1)
