"""The one exception that is meant for the user's eyes."""


class UserError(Exception):
    """A mistake of the user or of the files given; the message is one line that says what to do.

    The command line prints the message without a traceback and exits with status 2.
    """
