"""What can go wrong in a service, by kind; one interceptor turns each kind into a gRPC status.

The pure core has exceptions of its own (it may not import this); the services' wiring tells the
interceptor which kind each of those is.
"""

from __future__ import annotations


class ServiceError(Exception):
    """Base of all expected failures. ``reason`` is an UPPER_SNAKE_CASE word that programs can rely on."""

    reason = "UNKNOWN"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if reason:
            self.reason = reason


class InvalidArgumentError(ServiceError):
    """A field of the request is off, whatever the state of the system."""

    reason = "INVALID_ARGUMENT"

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}" if field else description)
        self.field = field
        self.description = description


class NotFoundError(ServiceError):
    """The named thing does not exist."""

    reason = "NOT_FOUND"


class AlreadyExistsError(ServiceError):
    """The name or request id is taken by something else."""

    reason = "ALREADY_EXISTS"


class FailedPreconditionError(ServiceError):
    """Right request, wrong state; repeating it as it is will not help."""

    reason = "FAILED_PRECONDITION"


class ConflictError(ServiceError):
    """Someone else changed it first (a compare-and-set lost)."""

    reason = "CONFLICT"


class ResourceExhaustedError(ServiceError):
    """A quota, a disk or a queue is full."""

    reason = "RESOURCE_EXHAUSTED"


class QuotaExceededError(ResourceExhaustedError):
    """A client has used up what it may. ``subject`` is whose quota it is, as ``clients/NAME``."""

    reason = "QUOTA_EXCEEDED"

    def __init__(self, subject: str, description: str) -> None:
        super().__init__(f"{subject}: {description}")
        self.subject = subject
        self.description = description


class UnauthenticatedError(ServiceError):
    """No valid credentials came with the request."""

    reason = "UNAUTHENTICATED"


class PermissionDeniedError(ServiceError):
    """The credentials are valid and do not allow this."""

    reason = "PERMISSION_DENIED"


class UnavailableError(ServiceError):
    """Something this service depends on cannot be reached now; trying again later may help."""

    reason = "UNAVAILABLE"
