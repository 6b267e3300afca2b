-- Requests that are kept apart, within what a source and each of its senders may take.

local function has_room(source, sender, size, requests, bytes, share, share_bytes)
    local sums = K .. 'held:sums:' .. source
    local kept = call('HMGET', sums, 'requests', 'bytes', 'requests:' .. sender, 'bytes:' .. sender)
    local function below(place, more, most) return tonumber(kept[place] or 0) + more <= tonumber(most) end
    return below(1, 1, requests) and below(2, size, bytes) and below(3, 1, share) and below(4, size, share_bytes)
end

local function sum_up(source, sender, size, n)
    local sums = K .. 'held:sums:' .. source
    call('HINCRBY', sums, 'bytes', n * size)
    call('HINCRBY', sums, 'bytes:' .. sender, n * size)
    if call('HINCRBY', sums, 'requests:' .. sender, n) <= 0 then
        call('HDEL', sums, 'requests:' .. sender, 'bytes:' .. sender)
    end
    if call('HINCRBY', sums, 'requests', n) <= 0 then
        call('DEL', sums)
        call('SREM', K .. 'held:names', source)
    end
end

local function hold_one(source, id, sender, size, at_ms, record, ...)
    if call('HEXISTS', K .. 'held:requests:' .. source, id) == 1 then return 1 end
    if not has_room(source, sender, size, ...) then return 0 end
    call('HSET', K .. 'held:requests:' .. source, id, record)
    call('HSET', K .. 'held:of:' .. source, id, size .. ':' .. sender)
    call('ZADD', K .. 'held:ids:' .. source, 0, id)
    call('ZADD', K .. 'held:at:' .. source, at_ms, id)
    call('SADD', K .. 'held:names', source)
    sum_up(source, sender, size, 1)
    return 1
end

-- requests: of each {source, id, sender, size, time, record, how many of a source, how many bytes, how many of a sender,
-- how many bytes}
writes('hold', {}, function(packed)
    local kept = {}
    for i, request in ipairs(decode(packed)) do kept[i] = hold_one(unpack(request)) end
    return kept
end)

local function drop_one(source, id)
    local of = call('HGET', K .. 'held:of:' .. source, id)
    if not of then return 0 end
    local size, sender = string.match(of, '^(%d+):(.*)$')
    call('HDEL', K .. 'held:requests:' .. source, id)
    call('HDEL', K .. 'held:of:' .. source, id)
    call('ZREM', K .. 'held:ids:' .. source, id)
    call('ZREM', K .. 'held:at:' .. source, id)
    sum_up(source, sender, tonumber(size), -1)
    return 1
end

writes('drop_held', ALWAYS, function(source, packed)
    local dropped = 0
    for _, id in ipairs(decode(packed)) do dropped = dropped + drop_one(source, id) end
    return {dropped}
end)
