"""Senders: how one delivery reaches its destination, an HTTP endpoint or a Python function, once.

They try and classify; whether and when to try again is decided elsewhere. Only the model, the ports and
libraries may be imported here.
"""
