"""An edited replay: what changes in the body and where it goes, and then the new event itself."""

from typing import TYPE_CHECKING

from longstop.edges.cli import output
from longstop.edges.cli.errors import DONE, say
from longstop.edges.cli.person import caller
from longstop.edges.cli.program import Parts
from longstop.edges.rows.edits import edit_row
from longstop.edges.rows.ids import meant, short
from longstop.model.delivery import State

if TYPE_CHECKING:
    from longstop.operating.replay import EditPlan


async def send_edited(parts: Parts, text: str, body: bytes, why: str | None, dry_run: bool, json: bool) -> int:
    """Send a body in the place of the one that an id stands for; or only say what that would change."""
    id_ = await meant(parts, text)
    service = parts.replay(caller())
    plan = await service.plan_edit(id_, body)
    if dry_run:
        _show(plan, json)
        return DONE
    event = await service.carry_out(plan, why)
    if json:
        output.json_line({"id": id_, "event_id": event.id, "state": State.SCHEDULED.value, "error": None})
    else:
        output.line(f"Event {event.id} is sent with the new body; {event.parent} is kept as it was.")
        _say_what_is_held(plan)
    return DONE


def _say_what_is_held(plan: "EditPlan") -> None:
    """The kept one is still dead, and where order matters others of its key wait for what becomes of it."""
    for each in plan.replaces:
        if each.state is State.DEAD and each.lane is not None:
            say(
                [
                    f"Others of key {each.key} for {each.destination} wait for the kept one; "
                    f"`longstop discard {short(each.id)} --why …` lets them go."
                ]
            )


def _show(plan: "EditPlan", json: bool) -> None:
    event = plan.append.event
    row = edit_row(plan)
    if json:
        output.json_line(row)
        return
    for text in row["diff"] or ["(the bodies are the same)"]:
        output.line(text)
    output.line()
    for name, old, new in (("type", plan.parent.type, event.type), ("key", plan.parent.key, event.key)):
        output.line(f"{name:12}  {new or '-'}" + (f" (was {old or '-'})" if old != new else ""))
    output.line(f"{'would go to':12}  {', '.join(row['destinations'])}")
    output.line("Nothing was changed.")
