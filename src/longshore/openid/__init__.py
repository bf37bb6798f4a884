"""What OpenID providers say: where their endpoints are, which keys they sign with, who somebody is."""
