"""The one exception that is meant to be read by a person.

Whatever a visitor or a user of the command line can cause (a broken file, a message that is too long, a
checkpoint with a missing shard) is raised as a `UserError` whose text is one clear sentence that says what
to do next. The page shows it beside the chat, the command line prints it and exits with status 2. Every other
exception is a bug.
"""


class UserError(Exception):
    """A sentence for the person: what is wrong and which setting or file to change."""
