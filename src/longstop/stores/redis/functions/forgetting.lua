-- Forgetting. What may go the caller has decided (model/retention.py) by what it has seen: it goes if it is so still.

-- Of each event {when it was received, the rows of its deliveries}, empty where it is not there.
reads('ends', function(packed)
    local found = {}
    for i, id in ipairs(decode(packed)) do
        local event = readable_event(id)
        found[i] = event[E.received_at_ms] and {event[E.received_at_ms], rows_of(event)} or {}
    end
    return found
end)

local function as_it_was(event, seen)
    for i, id in ipairs(event[E.delivery_ids]) do
        if call('GET', K .. 'delivery:' .. id) ~= seen[i] then return false end
    end
    return true
end

local function forget_edit(id)
    local edit = call('HGET', K .. 'edits', id)
    if not edit then return end
    call('HDEL', K .. 'edits', id)
    call('ZREM', K .. 'edits:of:' .. decode(edit)[2], id)
end

local function forget_event(id, seen)
    local event = events.get(id)
    if not event or not as_it_was(event, seen) then return 0 end
    for _, row in ipairs(seen) do deliveries.put(decode(row), nil) end
    local unrouted = #seen == 0
    indexes.forget_event({
        id = id, source = event[E.source], type = event[E.type], key = event[E.key], unrouted = unrouted
    })
    counters.add('events:' .. event[E.source], -1)
    if unrouted then counters.add('unrouted', -1) end
    -- The record goes with the new event: the trail of the kept one is there for as long as what was sent in its place.
    forget_edit(id)
    call('HDEL', K .. 'redeliveries', id)
    call('UNLINK', head_key(id), body_key(id))
    return event[E.apart] or 1
end

-- asked: of each event {id, the rows of its deliveries as they were seen}. For each that is forgotten 1, or the name of
-- its body, which is apart.
writes('forget', ALWAYS, function(packed)
    local gone = {}
    for i, each in ipairs(decode(packed)) do gone[i] = forget_event(each[1], each[2]) end
    return gone
end)

-- asked: of each {delivery's id, its row as it was seen, how many of its attempts, from the first on}. How many went.
writes('forget_attempts', ALWAYS, function(packed)
    local gone = 0
    for _, each in ipairs(decode(packed)) do
        local id, seen, n = unpack(each)
        if call('GET', K .. 'delivery:' .. id) == seen then
            gone = gone + history.forget_attempts(id, n)
        end
    end
    return {gone}
end)

writes('live_until', ALWAYS, function(at_ms)
    local kept = tonumber(call('HGET', K .. 'marks', 'lived'))
    if not kept or kept < tonumber(at_ms) then call('HSET', K .. 'marks', 'lived', at_ms) end
    return {}
end)

-- How many went, at most `n`.
writes('forget_dedup', ALWAYS, function(now_ms, n)
    local over = call('ZRANGEBYSCORE', K .. 'dedup:until', '-inf', now_ms, 'LIMIT', 0, n)
    for _, digest in ipairs(over) do dedup.forget(digest) end
    return {#over}
end)
