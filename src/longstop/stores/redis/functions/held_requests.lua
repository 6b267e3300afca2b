-- Requests that are kept apart, within what a source and each of its senders may take.

local function has_room(source, sender, size, requests, bytes, share, share_bytes)
    local sums = K .. 'held:sums:' .. source
    local function below(sum, more, most) return tonumber(writing.field(sums, sum) or 0) + more <= tonumber(most) end
    return below('requests', 1, requests) and below('bytes', size, bytes)
        and below('requests:' .. sender, 1, share) and below('bytes:' .. sender, size, share_bytes)
end

local function sum_up(source, sender, size, n)
    local sums = K .. 'held:sums:' .. source
    change_field(sums, 'bytes', n * size)
    change_field(sums, 'bytes:' .. sender, n * size)
    change_field(sums, 'requests:' .. sender, n)
    if change_field(sums, 'requests', n) <= 0 then call('SREM', K .. 'held:names', source) end
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
