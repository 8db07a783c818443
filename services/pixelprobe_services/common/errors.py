"""Expected failures of a service, by kind; one interceptor maps each kind to a gRPC status.

The pure core raises exceptions of its own; each service gives the interceptor a map from those to these.
"""

from __future__ import annotations


class ServiceError(Exception):
    """Base of all expected failures; ``reason`` is an UPPER_SNAKE_CASE word for programs."""

    reason = "UNKNOWN"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if reason:
            self.reason = reason


class InvalidArgumentError(ServiceError):
    """A field of the request is invalid, whatever the state of the system."""

    reason = "INVALID_ARGUMENT"

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}" if field else description)
        self.field = field
        self.description = description


class NotFoundError(ServiceError):
    """The named thing does not exist."""

    reason = "NOT_FOUND"


class AlreadyExistsError(ServiceError):
    """The name or request id is in use for something else."""

    reason = "ALREADY_EXISTS"


class FailedPreconditionError(ServiceError):
    """The request is valid but the state is wrong; repeating it unchanged does not help."""

    reason = "FAILED_PRECONDITION"


class ConflictError(ServiceError):
    """A concurrent change came first: a compare-and-set failed."""

    reason = "CONFLICT"


class ResourceExhaustedError(ServiceError):
    """A quota, a disk or a queue is full."""

    reason = "RESOURCE_EXHAUSTED"


class QuotaExceededError(ResourceExhaustedError):
    """A client has reached a quota; ``subject`` is the client, as ``clients/NAME``."""

    reason = "QUOTA_EXCEEDED"

    def __init__(self, subject: str, description: str) -> None:
        super().__init__(f"{subject}: {description}")
        self.subject = subject
        self.description = description


class UnauthenticatedError(ServiceError):
    """No valid credentials came with the request."""

    reason = "UNAUTHENTICATED"


class PermissionDeniedError(ServiceError):
    """The credentials are valid but do not allow this."""

    reason = "PERMISSION_DENIED"


class UnavailableError(ServiceError):
    """A dependency of the service cannot be reached now; a later retry may succeed."""

    reason = "UNAVAILABLE"
