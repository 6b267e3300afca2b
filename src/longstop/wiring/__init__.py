"""The composition root: a configuration becomes a running gateway. The only room where adapters are chosen.

`parts` builds what every command needs, `destinations` what delivers, `gateway` puts both to work, `serve` is the
process around it.
"""

from longstop.wiring.gateway import Gateway
from longstop.wiring.parts import Parts, has_store, opened, parts
from longstop.wiring.role import Role

__all__ = ["Gateway", "Parts", "Role", "has_store", "opened", "parts"]
