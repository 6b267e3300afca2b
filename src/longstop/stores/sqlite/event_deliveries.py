"""Finding an event's deliveries without an index on all `event_id`, which each append would pay for.

An event and its deliveries get their ids one after the other, and the ids of one process grow by 1 to 2^32 a step
(`model.ids`). So the deliveries stand right behind the event, among the few ids that begin as its own does. What stands
elsewhere, as when a step is carried into those characters (for one event of 500), is in a small index.
"""

_SAME_CHARS = 26
"""All but 40 bits: some hundred ids at most, made in one millisecond. With one character more, carries are frequent."""
_NEAR = f"{{id}} > {{event}} AND {{id}} < substr({{event}}, 1, {_SAME_CHARS}) || 'g'"
"""`g` comes after every digit of an id."""
_FAR = f"({_NEAR}) IS NOT TRUE"
"""Exactly what the other look-up does not find, whatever is in a row."""

MIGRATION = f"""
    CREATE INDEX deliveries_far ON deliveries (event_id) WHERE {_FAR.format(id="id", event="event_id")};
    DROP INDEX deliveries_event;
"""


def rows_of(events: str) -> str:
    """SQL for the rowids of these events' deliveries.

    `events`: SQL for their ids, a SELECT of one column `id`. It stands in the result twice, and so do its parameters.
    """
    deliveries = f"SELECT d.rowid FROM ({events}) AS these CROSS JOIN deliveries AS d"
    near, far = _NEAR.format(id="d.id", event="these.id"), _FAR.format(id="d.id", event="d.event_id")
    return f"""
        {deliveries} WHERE d.event_id = these.id AND {near}
        UNION ALL {deliveries} INDEXED BY deliveries_far WHERE d.event_id = these.id AND {far}
    """
