"""The exceptions that cross package boundaries.

Whatever a visitor or a user of the command line can cause (a broken file, a message that is too long, a checkpoint
with a missing shard) is raised as a `UserError`. Its text is one clear sentence that says what to do next: the page
shows it beside the chat, the command line prints it and exits with status 2. Every other exception but `Cancelled` is
a bug.
"""


class UserError(Exception):
    """A sentence for the person: what is wrong and which setting or file to change.

    `for_operator` says the same to whoever started the program, where that is not for visitors of the page: addresses,
    flags, a server's settings. The command line prints it instead.
    """

    def __init__(self, sentence: str, *, for_operator: str = "") -> None:
        super().__init__(sentence)
        self.for_operator = for_operator or sentence


class Cancelled(Exception):
    """The caller's `cancel` event was set while a request waited or ran."""
