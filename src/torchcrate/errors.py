"""Every failure a user can cause or fix, with its exit code.

* CrateError
  - UsageError     2  the command line names something that cannot be
  - ContractError  3  an input, checkpoint or manifest breaks the contract
  - ExportError    4  a format could not represent the network
  - ParityError    5  an export disagrees with eager beyond its tolerance
  - RunnerError    6  a runtime is missing or refused the file
  - RegistryError  7  the registry refused, lost or altered a file
  - FolderError    8  a file or folder of this machine cannot be read or written
  - TrustError     9  a crate is not signed as asked, or holds what must not be run
  - NotifyError   10  a version stands, but people could not be told of it
  - BudgetError   11  a crate is slower or larger than its release may be

Exit code 1 is left to a runner that could not read one of its images.
Anything else that escapes is a bug and keeps its traceback.
"""


class CrateError(Exception):
    """Something a user can cause or fix; its text is one line for people."""

    exit_code = 1


class UsageError(CrateError):
    """A name, version or option that cannot be used."""

    exit_code = 2


class ContractError(CrateError):
    """An input, a checkpoint or a manifest breaks the contract."""

    exit_code = 3


class ExportError(CrateError):
    """A format could not represent the network."""

    exit_code = 4


class ParityError(CrateError):
    """An export disagrees with eager beyond its tolerance."""

    exit_code = 5


class RunnerError(CrateError):
    """A runtime is missing, or refused the file."""

    exit_code = 6


class RegistryError(CrateError):
    """The registry refused, lost or altered a file."""

    exit_code = 7


class FolderError(CrateError):
    """A file or a folder of this machine cannot be read or written."""

    exit_code = 8


class TrustError(CrateError):
    """A crate is not signed as it was asked to be, or a file in it is hostile."""

    exit_code = 9


class NotifyError(CrateError):
    """A version stands, but people could not be told of it."""

    exit_code = 10


class BudgetError(CrateError):
    """A crate is slower or larger than its budget, or than the version before it."""

    exit_code = 11


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with one line that says what stands."""


INTERRUPTED = 130  # what shells report of a program that Ctrl-C ended: 128 + SIGINT
