"""Where the outside meets the services: the ASGI app for senders, its server, and the command line."""
