"""Two models behind one engine: one fills while somebody types, the other where quality was asked for."""

from collections.abc import Generator

from midfill.engine.errors import ModeMissing
from midfill.engine.infill import Infiller
from midfill.engine.wire import Infill, InfillRequest


class ModelPair:
    """Sends each request to the model of its mode. Without one for best mode, requests in it raise `ModeMissing`."""

    def __init__(self, fast: Infiller, best: Infiller | None, *, best_model: str = "", best_problem: str = "") -> None:
        """`best` may be `fast`; the names are as in `Status`."""
        self.fast, self.best, self.best_model, self.best_problem = fast, best, best_model, best_problem
        self._models = [fast] if best is None or best is fast else [fast, best]

    @property
    def documents(self) -> int:
        """How many documents have a slot."""
        return len({document for model in self._models for document in model.cache.documents})

    @property
    def kv_bytes(self) -> int:
        """Memory of all slots together."""
        return sum(model.kv_bytes for model in self._models)

    @property
    def device(self) -> str:
        """Where the weights are, as torch calls it."""
        return self.fast.device

    @property
    def dtype(self) -> str:
        """Of the weights, as torch calls it."""
        return self.fast.dtype

    def fill(self, request: InfillRequest) -> Generator[str, None, Infill]:
        """What `Infiller.fill` does. Raises `ModeMissing`, too."""
        model = self.best if request.mode == "best" else self.fast
        if model is None:
            raise ModeMissing(self.best_problem)
        return (yield from model.fill(request))

    def forget(self, document: str) -> None:
        """Frees the slots of a closed document, which must not be being filled."""
        for model in self._models:
            model.forget(document)

    def works(self) -> bool:
        """Whether the device still computes."""
        return self.fast.works()
