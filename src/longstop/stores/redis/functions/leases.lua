-- Leasing, holding, settling.

local leases = {}

local function due(destination, tried, now_ms, n)
    if n <= 0 then return {} end
    return call('ZRANGEBYSCORE', due_key(destination, tried), '-inf', now_ms, 'LIMIT', 0, n)
end

-- In turns, one of each, as many as there is room for.
local function in_turns(first, second, room)
    local ids = {}
    for i = 1, room do
        if #ids < room and first[i] then ids[#ids + 1] = first[i] end
        if #ids < room and second[i] then ids[#ids + 1] = second[i] end
    end
    return ids
end

local function choose(destination, room, retries, retries_first, now_ms)
    local untried = due(destination, false, now_ms, room)
    local tried = due(destination, true, now_ms, math.min(room, retries))
    if retries_first then return in_turns(tried, untried, room) end
    return in_turns(untried, tried, room)
end

-- Whether it was leased. One whose row cannot be read leaves the queue.
local function lease_one(destination, id, worker, now_ms, until_ms)
    local old = deliveries.get(id)
    if not old then
        lanes.drop(destination, id, now_ms)
        return false
    end
    local new = {unpack(old)}
    new[D.state] = 'leased'
    new[D.token] = old[D.token] + 1
    new[D.leased_at_ms] = now_ms
    new[D.lease_until_ms] = until_ms
    new[D.worker] = worker
    deliveries.put(old, new)
    return true
end

-- When the next of a destination is due, -1 where nothing is.
local function next_due(destination, now_ms)
    local earliest = -1
    for _, tried in ipairs({false, true}) do
        local found = call('ZRANGEBYSCORE', due_key(destination, tried), '(' .. now_ms, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
        local at_ms = tonumber(found[2])
        if at_ms and (earliest < 0 or at_ms < earliest) then earliest = at_ms end
    end
    return earliest
end

local BODIES_AT_ONCE = 4
local BODIES_AT_ONCE_BYTES = 2000000

-- Read these bodies, and only the first of them where they are large: the server does nothing else meanwhile.
local function load_bodies(keys)
    local bytes = 0
    for from = 1, #keys, BODIES_AT_ONCE do
        if bytes > BODIES_AT_ONCE_BYTES then return end
        local some = {unpack(keys, from, math.min(from + BODIES_AT_ONCE - 1, #keys))}
        writing.load(some)
        for _, key in ipairs(some) do bytes = bytes + #(writing.strings[key] or '') end
    end
end

-- false where it is not in memory, 1 where it is still to be asked for.
local function body_of(event_id)
    local body = writing.strings[body_key(event_id)]
    if body == nil then return 1 end
    return body
end

-- {delivery's row, event's head, body} of each id.
local function claims(ids)
    deliveries.load(ids)
    local found, heads, bodies = {}, {}, {}
    for i, id in ipairs(ids) do
        local packed = call('GET', K .. 'delivery:' .. id)
        found[i] = {packed, packed and decode(packed)[D.event_id]}
        heads[#heads + 1] = found[i][2] and head_key(found[i][2])
        bodies[#bodies + 1] = found[i][2] and body_key(found[i][2])
    end
    writing.load(heads)
    load_bodies(bodies)
    for i, each in ipairs(found) do
        local event_id = each[2]
        found[i] = {each[1], event_id and call('GET', head_key(event_id)), event_id and body_of(event_id)}
    end
    return found
end

-- asked: of each destination {name, room, retries, whether those that were tried come first}. The answer: ids, of each
-- destination that is not paused {its circuit packed or '', when the next is due}, and what cannot be read.
writes('lease', ALWAYS, function(packed)
    local worker, now_ms, until_ms, over_ms, asked = unpack(decode(packed))
    local ids, places, unread = {}, {}, {}
    for _, place in ipairs(asked) do
        local name, room, retries, retries_first = unpack(place)
        if call('HEXISTS', K .. 'pauses', name) == 0 then
            local circuit = call('HGET', K .. 'circuits', name)
            local chosen
            if circuit then
                chosen = call('ZRANGEBYSCORE', K .. 'expiring:' .. name, '-inf', over_ms, 'LIMIT', 0, room)
            else
                chosen = choose(name, room, retries, retries_first, now_ms)
            end
            -- Asked before anything is written: what leaves a queue does so last (writing.lua).
            local due_at_ms = next_due(name, now_ms)
            deliveries.load(chosen)
            for _, id in ipairs(chosen) do
                local into = lease_one(name, id, worker, now_ms, until_ms) and ids or unread
                into[#into + 1] = id
            end
            places[#places + 1] = {circuit or '', due_at_ms}
        end
    end
    -- What was leased is nothing new to lease.
    enlisted = false
    return {ids, places, unread}
end, function(result)
    return {claims(result[1]), result[2], result[3]}
end)

-- {rows, packed; ids of what cannot be read}
local function read_rows(ids)
    local rows, unread = {}, {}
    for _, id in ipairs(ids) do
        if deliveries.get(id) then
            rows[#rows + 1] = call('GET', K .. 'delivery:' .. id)
        else
            unread[#unread + 1] = id
        end
    end
    return {rows, unread}
end

-- The rows of which one may find out whether a destination is back: the oldest or newest that were never tried, or
-- else the one with the fewest tries.
reads('probes', function(destination, now_ms, newest_first, n)
    local key = due_key(destination, false)
    local ids
    if newest_first == '1' then
        ids = call('ZREVRANGEBYSCORE', key, now_ms, '-inf', 'LIMIT', 0, n)
    else
        ids = call('ZRANGEBYSCORE', key, '-inf', now_ms, 'LIMIT', 0, n)
    end
    local tries = 0
    while #ids == 0 and tries <= TRIES_MAX do
        local from = tries * (DUE_MAX + 1)
        local key_of_tries = K .. 'tries:' .. destination
        ids = call('ZRANGEBYSCORE', key_of_tries, from, from + tonumber(now_ms), 'LIMIT', 0, 1)
        local later = call('ZRANGEBYSCORE', key_of_tries, from + DUE_MAX + 1, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
        if not later[2] then break end
        tries = math.floor(tonumber(later[2]) / (DUE_MAX + 1))
    end
    return read_rows(ids)
end)

-- Lease one as the probe of an open circuit, where both are as they were seen; the answer: its id, or nothing.
writes('lease_probe', ALWAYS, function(packed)
    local worker, now_ms, until_ms, destination, circuit, probed, id, row = unpack(decode(packed))
    local stands = call('HGET', K .. 'circuits', destination) == circuit
        and call('GET', K .. 'delivery:' .. id) == row
        and call('HEXISTS', K .. 'pauses', destination) == 0
        and call('ZSCORE', due_key(destination, is_tried(decode(row))), id)
    if not stands then return {} end
    call('HSET', K .. 'circuits', destination, probed)
    lease_one(destination, id, worker, now_ms, until_ms)
    enlisted = false
    return {id}
end, claims)

-- The row, where this token still holds it.
local function held(id, token)
    local row = deliveries.get(id)
    return row and row[D.state] == 'leased' and row[D.token] == token and row or nil
end

-- leases: of each {delivery's id, token}. The answer: 1 for each that is held, 0 for one that is lost.
writes('extend', ALWAYS, function(packed)
    local asked, until_ms = unpack(decode(packed))
    local results, ids = {}, {}
    for i, lease in ipairs(asked) do ids[i] = lease[1] end
    deliveries.load(ids)
    for i, lease in ipairs(asked) do
        local row = held(lease[1], lease[2])
        results[i] = row and 1 or 0
        if row then
            row[D.lease_until_ms] = until_ms
            writing.set(K .. 'delivery:' .. lease[1], encode(row))
            writing.add(K .. 'leased', until_ms, lease[1])
        end
    end
    return results
end)

-- settlements: of each {delivery's row as it is to be, the attempt or false, when that ended}, packed.
writes('settle', ALWAYS, function(packed)
    local results, settlements, rows, ids = {}, decode(packed), {}, {}
    for i, settlement in ipairs(settlements) do
        rows[i] = decode(settlement[1])
        ids[i] = rows[i][D.id]
    end
    deliveries.load(ids)
    for i, settlement in ipairs(settlements) do
        local new = rows[i]
        local old = held(new[D.id], new[D.token])
        results[i] = old and 1 or 0
        if old then
            -- A worker's image of what it tried is older than what a person did meanwhile.
            new[D.replaced_by] = old[D.replaced_by]
            deliveries.put(old, new, not new[D.replaced_by] and settlement[1] or nil)
            if settlement[2] then history.attempt(new, settlement[2], settlement[3]) end
        end
    end
    return results
end)

reads('expired', function(now_ms, n)
    return read_rows(call('ZRANGEBYSCORE', K .. 'leased', '-inf', now_ms, 'LIMIT', 0, n))
end)
