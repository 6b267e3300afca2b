"""An edited replay: what changes in the body and where it goes, and then the new event itself."""

from longstop.edges.cli import output
from longstop.edges.cli.errors import DONE, say
from longstop.edges.desk.desk import Desk
from longstop.edges.rows.ids import short
from longstop.edges.rows.values import Row
from longstop.model.delivery import State


async def send_edited(desk: Desk, id_: str, body: bytes, why: str | None, dry_run: bool, json: bool) -> int:
    """Send a body in the place of the one that an id stands for; or only say what that would change."""
    plan = await desk.plan_edit(id_, body)
    if dry_run:
        await _show(desk, plan, json)
        return DONE
    new = await desk.edit(id_, body, why)
    if json:
        output.json_line({"id": id_, "event_id": new, "state": State.SCHEDULED.value, "error": None})
    else:
        output.line(f"Event {new} is sent with the new body; {plan['parent']} is kept as it was.")
        await _say_what_is_held(desk, plan)
    return DONE


async def _say_what_is_held(desk: Desk, plan: Row) -> None:
    """The kept one is still dead, and where order matters others of its key wait for what becomes of it."""
    kept = await desk.event(plan["parent"])
    for each in kept["deliveries"]:
        if each["id"] in plan["replaces"] and each["state"] == State.DEAD and each["in_order"]:
            say(
                [
                    f"Others of key {kept['key']} for {each['destination']} wait for the kept one; "
                    f"`longstop discard {short(each['id'])} --why …` lets them go."
                ]
            )


async def _show(desk: Desk, plan: Row, json: bool) -> None:
    if json:
        output.json_line(plan)
        return
    if plan["diff"] is None:
        output.line("(the bodies are too large to be compared)")
    else:
        for text in plan["diff"] or ["(the bodies are the same)"]:
            output.line(text)
    output.line()
    kept = await desk.event(plan["parent"])
    for name in ("type", "key"):
        new, old = plan[name], kept[name]
        output.line(f"{name:12}  {new or '-'}" + (f" (was {old or '-'})" if old != new else ""))
    output.line(f"{'would go to':12}  {', '.join(plan['destinations'])}")
    output.line("Nothing was changed.")
