"""Identity providers that people sign in with."""
