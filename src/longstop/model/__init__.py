"""The pure heart: what an event, a delivery and a retry *are*, and how each decision is made.

Only the standard library may be imported here, and nothing in here reads a clock, draws a random
number or touches the outside: `now_ms` and `rng` are arguments. That is what lets the tests run
years of failures in seconds.

Times are integers, milliseconds since the Unix epoch (UTC), and end in `_at_ms`; durations end in
`_ms` or `_s`.
"""
