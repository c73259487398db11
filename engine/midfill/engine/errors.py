"""Everything that a user, a file or the network can get wrong; our own bugs are assertions instead.

    MidfillError
    ├── InputError        an argument, a position in a file, a record, a request
    │   └── ModeMissing       a quality that the model has not
    ├── CheckpointError   a model directory: missing, truncated, mismatched or of an unknown kind
    ├── HubError          a download: no network, no such repository, no access, no space, a wrong checksum
    └── EngineError       the engine process: it could not be started or reached, or could not answer
        ├── EngineGone        no connection to it, now
        ├── MemoryFull        a fill needs more of the device's memory than is free
        ├── RequestFailed     it answered that this request cannot be
        └── RequestDropped    it let this request go: a newer one came, or too many wait

The command line prints the message on one line of stderr and exits with code 2.
"""


class MidfillError(Exception):
    """One line for a person: which thing (a path, an option, a repository), what was wanted, what came."""

    def __init__(self, what: object, wanted: object, got: object) -> None:
        super().__init__(f"{what}: wanted {wanted}, got {got}")


class InputError(MidfillError):
    """A bad argument, record or request."""


class ModeMissing(InputError):
    """Only fast mode is there. It is shown to people, so it is a sentence, without wanted and got."""

    SAYS = "best quality is not available"
    """How the sentence begins, by which it is known on the other side of the wire."""

    def __init__(self, why: str = "") -> None:
        how = "midfill models says which models could be pulled for it"
        Exception.__init__(self, "; ".join(filter(None, (self.SAYS, why, how))))


class CheckpointError(MidfillError):
    """A model directory that cannot be used. `what` is the file that is wrong."""


class HubError(MidfillError):
    """A checkpoint that could not be fetched, or is not what the hub promised."""


class EngineError(MidfillError):
    """The engine process did not answer. Its subclasses say it in one sentence, without wanted and got."""

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)


class MemoryFull(EngineError):
    """A fill did not fit beside the model; what it had is freed, and others may fit."""

    def __init__(self, free_bytes: int) -> None:
        super().__init__(
            f"memory is full ({free_bytes / 1e9:.1f} GB are free now): ask for fewer tokens (maxTokens), end other "
            "programs that use it, or choose a smaller model (midfill models)"
        )


class EngineGone(EngineError):
    """There is no engine to talk to, or it went away while it was asked."""


class RequestFailed(EngineError):
    """The engine said why it cannot answer this request; it answers others."""

    @property
    def is_mode_missing(self) -> bool:
        """Whether the same request in fast mode may be answered."""
        return str(self).startswith(ModeMissing.SAYS)


class RequestDropped(EngineError):
    """The engine let the request go."""
