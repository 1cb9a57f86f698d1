"""The errors of addresses that are refused. Their texts go to the user who named the address."""

from common.errors import ErrorCode, PermanentError, UnlikelyError


def invalid(reason: str) -> PermanentError:
    """Returns the error of an address that is wrong by its text, for whatever host."""
    return PermanentError(ErrorCode.ADDRESS_INVALID, f"The address is not valid: {reason}")


def blocked(reason: str) -> PermanentError:
    """Returns the error of an address that the operator does not allow."""
    return PermanentError(
        ErrorCode.ADDRESS_BLOCKED,
        f"The address is blocked: {reason}. The operator can allow an origin in TRUSTED_URL_PREFIXES",
    )


def unusable_name(host: str) -> UnlikelyError:
    """Returns one error for a name that does not exist and a name that is not public.

    `common.outbound.look_up` says why users must not be able to tell the two apart.
    """
    what = f"the name {host} does not exist, or is not at a public address"
    return UnlikelyError(ErrorCode.ADDRESS_BLOCKED, blocked(what).message)


def own_address(host: str) -> PermanentError:
    """Returns the error of an IP address, public or not, that this host has itself."""
    return blocked(f"{host} is this machine itself")
