-- The sorted sets that the lookups walk: every score is 0, so that a set is in the order of its ids (ZRANGEBYLEX).

local indexes = {}

-- The sets that an event stands in.
local function of_event(event)
    local sets = {K .. 'events', K .. 'events:source:' .. event.source}
    if event.type then sets[#sets + 1] = K .. 'events:type:' .. event.type end
    if event.key then sets[#sets + 1] = K .. 'events:key:' .. event.key end
    if event.unrouted then sets[#sets + 1] = K .. 'events:unrouted' end
    return sets
end

-- event: {id, source, type, key, received_at_ms, unrouted}, by name; false for what it has not.
function indexes.keep_event(event)
    for _, set in ipairs(of_event(event)) do call('ZADD', set, 0, event.id) end
end

function indexes.forget_event(event)
    for _, set in ipairs(of_event(event)) do call('ZREM', set, event.id) end
end

-- The sets that a delivery's row stands in.
local function of_delivery(row)
    local state, to = row[D.state], row[D.destination]
    return {
        K .. 'deliveries',
        K .. 'deliveries:state:' .. state,
        K .. 'deliveries:to:' .. pair(to, state),
    }
end

-- A delivery's row was `old` (nil: it is new) and is `new` (nil: it is forgotten).
function indexes.change_delivery(old, new)
    local id = (new or old)[D.id]
    local left = {}
    if old then
        for _, set in ipairs(of_delivery(old)) do left[set] = true end
    end
    if new then
        for _, set in ipairs(of_delivery(new)) do
            if left[set] then left[set] = nil else call('ZADD', set, 0, id) end
        end
    end
    for set in pairs(left) do call('ZREM', set, id) end
end
