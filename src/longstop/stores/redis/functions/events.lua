-- Events, their dedup keys, and appending.

local events = {}

-- The key of an event's head (all but the body, as the caller packed it) and of its body.
local function head_key(id) return K .. 'event:' .. id end
local function body_key(id) return K .. 'body:' .. id end

-- What Lua reads of an event's head, in the order of E; nil where there is no such event.
function events.get(id)
    local head = call('GET', head_key(id))
    return head and decode(head:sub(5 + struct.unpack('>I4', head)))
end

-- item: {id, source, type, key, received_at_ms, head, body (false: it is apart), rows, digest, dedup_until_ms}
local function fields(item)
    return {
        id = item[1], source = item[2], type = item[3], key = item[4], received_at_ms = item[5], unrouted = #item[8] == 0
    }
end

-- An error where an id is taken: overwriting an event would lose it.
function events.refuse_taken(items)
    local seen = {}
    for _, item in ipairs(items) do
        local ids = {[item[1]] = head_key(item[1])}
        for _, packed in ipairs(item[8]) do
            local id = decode(packed)[D.id]
            if ids[id] then return 'TAKEN ' .. id end
            ids[id] = K .. 'delivery:' .. id
        end
        for id, key in pairs(ids) do
            if seen[id] or call('EXISTS', key) == 1 then return 'TAKEN ' .. id end
            seen[id] = true
        end
    end
    return nil
end

function events.keep(item)
    local id = item[1]
    call('SET', head_key(id), item[6])
    if item[7] then call('SET', body_key(id), item[7]) end
    local event = fields(item)
    indexes.keep_event(event)
    counters.add('events:' .. event.source, 1)
    if event.unrouted then counters.add('unrouted', 1) end
    for _, packed in ipairs(item[8]) do deliveries.put(nil, decode(packed)) end
end

-- The id of the event of which this is a duplicate.
local function first_of(item)
    local digest = item[9]
    local kept = digest and call('HGET', K .. 'dedup', digest)
    if not kept then return nil end
    local first = decode(kept)
    return item[5] < first[2] and first[1] or nil
end

function events.remember(digest, id, until_ms)
    call('HSET', K .. 'dedup', digest, encode({id, until_ms}))
    call('ZADD', K .. 'dedup:until', until_ms, digest)
    call('ZADD', K .. 'dedup:digests', 0, digest)
end

function events.forget_key(digest)
    call('HDEL', K .. 'dedup', digest)
    call('ZREM', K .. 'dedup:until', digest)
    call('ZREM', K .. 'dedup:digests', digest)
end

local function append_one(item)
    local first = first_of(item)
    if first then
        -- The first may have been forgotten while its window lasts.
        if call('EXISTS', head_key(first)) == 1 then call('HINCRBY', K .. 'redeliveries', first, 1) end
        return first
    end
    if item[9] then events.remember(item[9], item[1], item[10]) end
    events.keep(item)
    return ''
end

-- For each item the id of the first event, empty where it is this one.
writes('append', {}, function(packed)
    local items = decode(packed)
    local taken = events.refuse_taken(items)
    if taken then return nil, taken end
    local firsts = {}
    for i, item in ipairs(items) do firsts[i] = append_one(item) end
    return firsts
end)
