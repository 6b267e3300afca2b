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

-- The rows of an item's deliveries, unpacked once.
local function unpacked_rows(item)
    if not item.rows then
        item.rows = {}
        for i, packed in ipairs(item[8]) do item.rows[i] = decode(packed) end
    end
    return item.rows
end

-- The ids of items with the keys that are theirs, and one id that is there twice, if there is.
local function ids_and_keys(items)
    local ids, keys, seen, twice = {}, {}, {}, nil
    local function add(id, key)
        if seen[id] then twice = id end
        seen[id] = true
        ids[#ids + 1] = id
        keys[#keys + 1] = key
    end
    for _, item in ipairs(items) do
        add(item[1], head_key(item[1]))
        for _, row in ipairs(unpacked_rows(item)) do add(row[D.id], K .. 'delivery:' .. row[D.id]) end
    end
    return ids, keys, twice
end

-- An error where an id is taken: overwriting an event would lose it.
function events.refuse_taken(items)
    local ids, keys, twice = ids_and_keys(items)
    if twice then return 'TAKEN ' .. twice end
    if not writing.any(keys) then return nil end
    for i, key in ipairs(keys) do
        if call('EXISTS', key) == 1 then return 'TAKEN ' .. ids[i] end
    end
end

function events.keep(item)
    local id = item[1]
    writing.set(head_key(id), item[6])
    if item[7] then writing.set(body_key(id), item[7]) end
    local event = fields(item)
    indexes.keep_event(event)
    counters.add('events:' .. event.source, 1)
    if event.unrouted then counters.add('unrouted', 1) end
    for i, row in ipairs(unpacked_rows(item)) do deliveries.put(nil, row, item[8][i]) end
end

-- Of an event's dedup key: the first event's id and the end of its window, packed.
local dedup = {}

function dedup.load(items)
    local digests = {}
    for _, item in ipairs(items) do
        if item[9] then digests[#digests + 1] = item[9] end
    end
    writing.load_fields(K .. 'dedup', digests)
end

function dedup.get(digest)
    local kept = writing.field(K .. 'dedup', digest)
    return kept and decode(kept)
end

function dedup.remember(digest, id, until_ms)
    writing.set_field(K .. 'dedup', digest, encode({id, until_ms}))
    writing.add(K .. 'dedup:until', until_ms, digest)
    writing.add(K .. 'dedup:digests', NO_SCORE, digest)
end

function dedup.forget(digest)
    writing.set_field(K .. 'dedup', digest, false)
    writing.remove(K .. 'dedup:until', digest)
    writing.remove(K .. 'dedup:digests', digest)
end

-- The id of the event of which this is a duplicate.
local function first_of(item)
    local first = item[9] and dedup.get(item[9])
    if not first then return nil end
    return item[5] < first[2] and first[1] or nil
end

local function append_one(item)
    local first = first_of(item)
    if first then
        -- The first may have been forgotten while its window lasts.
        if call('EXISTS', head_key(first)) == 1 then change_field(K .. 'redeliveries', first, 1) end
        return first
    end
    if item[9] then dedup.remember(item[9], item[1], item[10]) end
    events.keep(item)
    return ''
end

-- items: without heads, and `true` for a body that is kept here. Those are in `given`, in turns: to Lua a text costs all
-- of its bytes each time it is taken out of another one. For each item the id of the first event, empty where it is
-- this one.
writes('append', {}, function(packed, ...)
    local items, given = decode(packed), {...}
    for i, item in ipairs(items) do
        item[6], item[7] = given[2 * i - 1], item[7] and given[2 * i]
    end
    local taken = events.refuse_taken(items)
    if taken then return nil, taken end
    dedup.load(items)
    local firsts = {}
    for i, item in ipairs(items) do firsts[i] = append_one(item) end
    return firsts
end)
