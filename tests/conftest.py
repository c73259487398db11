"""One thread: the machine may be busy with other work, and sums must not depend on how many there are.

No deadlines either: what an example takes says how busy the machine is.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

try:
    import torch
except ModuleNotFoundError:
    pass  # the server's tests need none
else:
    torch.set_num_threads(1)
    if not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"  # before any kernel is imported, which is when Triton looks

try:
    import hypothesis
except ModuleNotFoundError:
    pass  # `make gpu` runs where only some of the tools are
else:
    hypothesis.settings.register_profile("midfill", deadline=None, derandomize=True)
    hypothesis.settings.load_profile("midfill")
