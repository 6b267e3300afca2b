"""The senders' side: the server that they post to, one connection of it, the app behind it, the answers."""
