"""`longstop demo`: a real gateway between a sender that behaves as a platform does and a destination that misbehaves.

`run` is the command, `show` what happens when, `platform` the sender, `gateway` the process between, `backend` the
destination, `view` what is on the screen, `reconcile` the count at the end. It stands above the composition root.
"""
