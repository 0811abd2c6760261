"""The one family of errors that clipcast raises on purpose.

Every message says what went wrong, where, and what to do next, so that the command line and the service can
show it as it stands. Anything that is not a `ClipcastError` is a defect.
"""


class ClipcastError(Exception):
    """Base of every error that clipcast raises on purpose."""


def quoted(text: str, most: int = 100) -> str:
    r"""Return text from outside as a message shows it: in quotes, cut, and nothing in it that a terminal obeys.

    >>> quoted("\x1b[2J")
    "'\\x1b[2J'"
    """
    return repr(text if len(text) <= most else f"{text[:most]}…")


class SettingsError(ClipcastError):
    """A setting has an unknown name or a value outside its range."""


class SchemaError(ClipcastError):
    """Rows do not have the columns, types or values that a table asks for."""


class ImportFileError(ClipcastError):
    """A file of posts cannot be read at all: missing, of an unknown kind, or broken."""


class StoreError(ClipcastError):
    """The store of posts on disk is damaged, or was changed by other hands."""


class DiskFullError(ClipcastError):
    """There is no space left where something had to be written."""


class VersioningError(ClipcastError):
    """The data version tool failed, or answered something that cannot be understood."""


class NotEnoughDataError(ClipcastError):
    """There are too few mature posts or accounts to do what was asked."""


class TrainingError(ClipcastError):
    """A model could not be tuned, fitted or evaluated."""


class BundleError(ClipcastError):
    """A bundle is incomplete, altered, of a forbidden kind, or made for another version of clipcast."""


class RegistryError(ClipcastError):
    """Tracking, ledger, alias or production file cannot be read, or contradict one another."""


class NoChampionError(RegistryError):
    """A model has no champion yet."""


class ConflictError(RegistryError):
    """Somebody else changed the head of the ledger between the decision and its writing."""


class LockedError(ClipcastError):
    """Another process holds the lock that this work needs."""


class ServiceError(ClipcastError):
    """The service cannot be reached, or refused a request."""


class MissingExtraError(ClipcastError):
    """An optional part of clipcast is asked for, but its libraries are not installed."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"this needs {library}, which is missing; install it: pip install 'clipcast[{extra}]'")
        self.library = library
        self.extra = extra

    def __reduce__(self) -> tuple[type["MissingExtraError"], tuple[str, str]]:
        """Rebuild from both arguments: across a process boundary an exception keeps only its message."""
        return type(self), (self.library, self.extra)
