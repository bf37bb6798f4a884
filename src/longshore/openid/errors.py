"""What may go wrong with a provider, and with a token that is said to be of one."""


class ProviderUnavailable(Exception):
    """A provider does not answer, or not with what a provider answers. The message says which address
    was asked and what came; it is for people and holds no secret."""


class TokenRefused(Exception):
    """A token that proves nothing. The message finishes the sentence "the token was refused: ..." and
    shows nothing of the token's signature."""


class GrantRefused(Exception):
    """A provider answered a token request with an error (RFC 6749 section 5.2). ``code`` is the error's
    name, such as ``invalid_grant``."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"{code}: {description}" if description else code)
        self.code = code
