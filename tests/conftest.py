"""One thread: the machine may be busy with other work, and sums must not depend on how many there are.

No deadlines either: what an example takes says how busy the machine is.
"""

import os

import hypothesis

os.environ.setdefault("OMP_NUM_THREADS", "1")

try:
    import torch
except ModuleNotFoundError:
    pass  # the server's tests need none
else:
    torch.set_num_threads(1)

hypothesis.settings.register_profile("midfill", deadline=None)
hypothesis.settings.load_profile("midfill")
