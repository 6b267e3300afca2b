-- A step of a job: the job's record, and what it decides about deliveries, all of it or nothing.

local function as_seen(decisions)
    for _, decision in ipairs(decisions) do
        if call('GET', K .. 'delivery:' .. decision[1]) ~= decision[2] then return false end
    end
    return true
end

local function new_events(decisions)
    local items = {}
    for _, decision in ipairs(decisions) do
        if decision[6] then items[#items + 1] = decision[6] end
    end
    return items
end

-- change: of the job's record, as in records.lua. decisions: of each {delivery's id, the row as it was seen, as it is to
-- be, the action's record, when, an event that is kept in its place or false, the id of that one's parent, the edit's
-- record}. The answer: 1 where it was done, 0 where something of it was no longer as it was seen.
writes('advance_job', ALWAYS, function(packed)
    local change, decisions = unpack(decode(packed))
    if not records.stands(change) or not as_seen(decisions) then return {0} end
    local taken = events.refuse_taken(new_events(decisions))
    if taken then return nil, taken end
    records.change(change)
    for _, decision in ipairs(decisions) do
        local id, seen, new, action, at_ms, item, parent, edit = unpack(decision)
        local row = deliveries.replace(id, seen, new)
        history.action(row, action, at_ms)
        if item then
            events.keep(item)
            edits.keep(item[1], parent, edit)
        end
    end
    return {1}
end)
