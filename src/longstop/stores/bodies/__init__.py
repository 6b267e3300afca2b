"""Places for large bodies, beside a store: see ports.Bodies."""

from longstop.stores.bodies.folder import FolderBodies

__all__ = ["FolderBodies"]
