"""What all errors of this room have in common: a message for the person at the command line."""


class ModelZooError(Exception):
    """Something a person can mend: the message says what is wrong with which file or server."""
