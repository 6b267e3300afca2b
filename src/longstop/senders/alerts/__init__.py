"""Alerts on their last stretch: each kind of channel as a Sender, so that alerts are tried again as deliveries are.

What a notice looks like to a service is made by pure functions (`chat`, `incidents`, `hook`), which `post` sends under
the guards that hold for deliveries; `email` hands it to a mail server.
"""
