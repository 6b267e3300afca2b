-- The sorted sets that the lookups walk. Where every score is 0 a set is in the order of its members, which are ids or
-- begin with a hash that all of one text share (ZRANGE BYLEX); where it is a time, it is for what is asked by time.
-- keys.py lists them. As few as can be are written for every event: a member costs some 120 bytes of memory.

local indexes = {}
local RECENT_MAX = 20000
local CUT_EVERY = 100 -- it may be longer by so many

local function listed(key, id)
    writing.add(key, NO_SCORE, id)
end

-- Sorted by a text's hash and then by id: a set for each text would cost more than its members.
local function hashed(text, id)
    return string.sub(redis.sha1hex(text), 1, 12) .. id
end

-- How far the time in an id is ahead of and behind the arrival that it stands for.
local function note_lag(id, received_at_ms)
    local at_ms = tonumber(string.sub(id, 1, 8) .. string.sub(id, 10, 13), 16)
    if at_ms then
        writing.note_most('ahead', at_ms - received_at_ms)
        writing.note_most('behind', received_at_ms - at_ms)
    end
end

-- How often a set of what happened lately was added to, since the library was loaded or the set was cut last.
local noted = {}

local function note_recent(kind, at_ms, member)
    local key = K .. 'recent:' .. kind
    writing.add(key, at_ms, member)
    noted[key] = (noted[key] or 0) + 1
    if noted[key] >= CUT_EVERY then
        noted[key] = 0
        call('ZREMRANGEBYRANK', key, 0, -RECENT_MAX - 1)
    end
end

-- -- events -------------------------------------------------------------------------------------------

-- event: {id, source, type, key, received_at_ms, unrouted}, by name; false for what it has not.
function indexes.keep_event(event)
    local id, at_ms = event.id, event.received_at_ms
    listed(K .. 'events:source:' .. event.source, id)
    if event.type then listed(K .. 'events:type:' .. event.type, id) end
    if event.key then listed(K .. 'events:key', hashed(event.key, id)) end
    if event.unrouted then
        listed(K .. 'events:unrouted', id)
        writing.add(K .. 'ended:unrouted', at_ms, id)
    end
    note_recent('events', at_ms, id)
    note_lag(id, at_ms)
end

function indexes.forget_event(event)
    local id = event.id
    writing.remove(K .. 'events:source:' .. event.source, id)
    if event.type then writing.remove(K .. 'events:type:' .. event.type, id) end
    if event.key then writing.remove(K .. 'events:key', hashed(event.key, id)) end
    if event.unrouted then
        writing.remove(K .. 'events:unrouted', id)
        writing.remove(K .. 'ended:unrouted', id)
    end
    writing.remove(K .. 'recent:events', id)
end

-- -- deliveries ---------------------------------------------------------------------------------------

-- The sets whose order is that of ids. A lease changes but the small one of what is leased.
local function of_delivery(row)
    local state, to = row[D.state], row[D.destination]
    if state == 'scheduled' then return {K .. 'deliveries:waiting:' .. to} end
    if state == 'leased' then return {K .. 'deliveries:waiting:' .. to, K .. 'deliveries:leased:' .. to} end
    local sets = {K .. 'deliveries:' .. state .. ':' .. to}
    if state == 'dead' then
        sets[2] = K .. 'dead:source:' .. row[D.source]
        if row[D.type] then sets[3] = K .. 'dead:type:' .. row[D.type] end
    end
    return sets
end

-- Make the sets in which a row stands those of `new`, where it stood in those of `old`.
local function move(id, old, new)
    local left = {}
    if old then
        for _, set in ipairs(of_delivery(old)) do left[set] = true end
    end
    if new then
        for _, set in ipairs(of_delivery(new)) do
            if left[set] then left[set] = nil else listed(set, id) end
        end
    end
    for set in pairs(left) do writing.remove(set, id) end
end

local function has_ended(row)
    return row and row[D.ended_at_ms]
end

-- A delivery's row was `old` (nil: it is new) and is `new` (nil: it is forgotten).
function indexes.change_delivery(old, new)
    local id = (new or old)[D.id]
    move(id, old, new)
    if has_ended(old) then writing.remove(K .. 'ended:' .. old[D.state], id) end
    if old and old[D.state] == 'dead' and old[D.key] then writing.remove(K .. 'dead:key', hashed(old[D.key], id)) end
    if has_ended(new) then
        writing.add(K .. 'ended:' .. new[D.state], new[D.ended_at_ms], id)
        writing.note_most('early', new[D.received_at_ms] - new[D.ended_at_ms])
    end
    if new and new[D.state] == 'dead' and new[D.key] then listed(K .. 'dead:key', hashed(new[D.key], id)) end
    if not old then note_lag(id, new[D.received_at_ms]) end
end

-- -- what happened lately -----------------------------------------------------------------------------

-- kind: 'attempts' or 'actions'; place: the attempt's number, or which action, 0 the first
function indexes.note_recent(kind, id, place, at_ms)
    note_recent(kind, at_ms, id .. ':' .. place)
end
