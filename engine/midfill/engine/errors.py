"""Everything that a user, a file or the network can get wrong; our own bugs are assertions instead.

    MidfillError
    ├── InputError        an argument, a position in a file, a record, a request
    ├── CheckpointError   a model directory: missing, truncated, mismatched or of an unknown kind
    └── HubError          a download: no network, no such repository, no access, no space, a wrong checksum

The command line prints the message on one line of stderr and exits with code 2.
"""


class MidfillError(Exception):
    """One line for a person: which thing (a path, an option, a repository), what was wanted, what came."""

    def __init__(self, what: object, wanted: object, got: object) -> None:
        super().__init__(f"{what}: wanted {wanted}, got {got}")


class InputError(MidfillError):
    """A bad argument, record or request."""


class CheckpointError(MidfillError):
    """A model directory that cannot be used. `what` is the file that is wrong."""


class HubError(MidfillError):
    """A checkpoint that could not be fetched, or is not what the hub promised."""
