-- What the lookups ask of many ids at once. The caller sees to it that they are not too many.

-- A packed row, an empty one where another program has written something else there: the caller tells.
local function readable(packed)
    local ok, row = pcall(decode, packed)
    return ok and type(row) == 'table' and row or {}
end

-- What Lua reads of an event; an empty row where there is none, or another program has written something else there.
local function readable_event(id)
    local ok, row = pcall(events.get, id)
    return ok and type(row) == 'table' and row or {}
end

-- The rows of its deliveries, packed.
local function rows_of(event)
    local ids, rows = event[E.delivery_ids], {}
    for i, id in ipairs(type(ids) == 'table' and ids or {}) do rows[i] = call('GET', K .. 'delivery:' .. id) end
    return rows
end

-- Of each event {head, body ('' where bodies are not asked for, false where it is not here), redeliveries, the record of
-- who made it, the records of what was sent in its place, the rows of its deliveries}, empty where it is not there.
local function whole_event(id, with_body)
    local head = call('GET', head_key(id))
    if not head then return {} end
    local records = {}
    for i, event_id in ipairs(call('ZRANGE', K .. 'edits:of:' .. id, 0, -1)) do
        records[i] = call('HGET', K .. 'edits', event_id)
    end
    local body = ''
    if with_body then body = call('GET', body_key(id)) end
    return {
        head, body, call('HGET', K .. 'redeliveries', id) or '0', call('HGET', K .. 'edits', id) or '', records,
        rows_of(readable_event(id)),
    }
end

-- bytes: of as many of the first as have so much of bodies, and one at least; 0: of all, without bodies.
reads('events', function(packed, bytes)
    local found, most, taken = {}, tonumber(bytes), 0
    for i, id in ipairs(decode(packed)) do
        found[i] = whole_event(id, most > 0)
        taken = taken + #(found[i][2] or '')
        if most > 0 and taken >= most then break end
    end
    return found
end)

-- Of each event 1 where these bytes stand in its body, and its head where that is apart; of as many of the first as have
-- so many bytes, and one at least.
reads('bodies_with', function(packed, needle, bytes)
    local found, left = {}, tonumber(bytes)
    for i, id in ipairs(decode(packed)) do
        local body = call('GET', body_key(id)) or ''
        if readable_event(id)[E.apart] then
            found[i] = call('GET', head_key(id))
        else
            found[i] = string.find(body, needle, 1, true) and 1 or 0
        end
        left = left - #body
        if left <= 0 then break end
    end
    return found
end)

-- Of each name of a body 1 where an event says that this is its own.
reads('bodies_apart', function(packed)
    local found = {}
    for i, name in ipairs(decode(packed)) do
        found[i] = readable_event(string.sub(name, 1, 36))[E.apart] == name and 1 or 0
    end
    return found
end)

-- Of each delivery {row, whether it is held}, empty where it is not there.
reads('standing', function(packed)
    local found = {}
    for i, id in ipairs(decode(packed)) do
        local row = call('GET', K .. 'delivery:' .. id)
        found[i] = row and {row, lanes.is_held(readable(row)) and 1 or 0} or {}
    end
    return found
end)

-- The row of the one that goes first in a delivery's lane, or nothing where this is it, or is in none.
reads('ahead', function(id)
    local row = deliveries.get(id)
    if not row or not row[D.lane] or row[D.state] ~= 'scheduled' then return '' end
    local first = lanes.first(row)
    return first and first ~= id and call('GET', K .. 'delivery:' .. first) or ''
end)

-- Ids of a sorted set that end so, among `n` behind an id, from the youngest on; and the last that was looked at, empty
-- at the end of the set.
reads('ids_ending', function(set, ending, after, n)
    local most = after == '' and '+' or '(' .. after
    local ids = call('ZREVRANGEBYLEX', K .. set, most, '-', 'LIMIT', 0, n)
    local found = {}
    for _, id in ipairs(ids) do
        if string.sub(id, -#ending) == ending then found[#found + 1] = id end
    end
    return {#ids == tonumber(n) and ids[#ids] or '', found}
end)

-- -- counters -----------------------------------------------------------------------------------------

local function size(set)
    return call('ZCARD', K .. set)
end

-- How many there are of what a counter counts, by the sets of their ids.
local function found_of(name)
    local source = string.match(name, '^events:(.*)$')
    if source then return size('events:source:' .. source) end
    if name == 'unrouted' then return size('events:unrouted') end
    local length, rest = string.match(name, '^deliveries:(%d+):(.*)$')
    local to, state = string.sub(rest, 1, tonumber(length)), string.sub(rest, tonumber(length) + 1)
    if state == 'scheduled' then return size('deliveries:waiting:' .. to) - size('deliveries:leased:' .. to) end
    return size('deliveries:' .. state .. ':' .. to)
end

-- A group's count and what there is of it; puts it right where they differ.
local function recount_group(id)
    local counted, found = tonumber(call('ZSCORE', K .. 'groups', id) or 0), size('group:ids:' .. id)
    if counted ~= found then dead_groups.count_again(id, found) end
    return counted, found
end

local function recount_counter(name)
    local counted, found = tonumber(call('HGET', K .. 'counters', name) or 0), found_of(name)
    if counted ~= found then counters.add(name, found - counted) end
    return counted, found
end

-- Puts these counters right, a group's as `group:ID`; of those that were wrong {name, counted, found}.
writes('recount', ALWAYS, function(packed)
    local drifts = {}
    for _, name in ipairs(decode(packed)) do
        local group = string.match(name, '^group:(.*)$')
        local counted, found
        if group then counted, found = recount_group(group) else counted, found = recount_counter(name) end
        if counted ~= found then drifts[#drifts + 1] = {name, counted, found} end
    end
    return drifts
end)
