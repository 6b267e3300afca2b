-- What a clock that was ahead has left behind. What becomes of a delivery is said by the caller.

-- Of what can be read; the others' leases and queues come upon them.
local function rows_of(ids)
    return read_rows(ids)[1]
end

-- Scheduled deliveries of a destination that are due after a time; which: 'untried', 'tried' or 'held'.
reads('due_after', function(destination, which, after_ms, skip, n)
    local key = which == 'held' and K .. 'held:' .. destination or due_key(destination, which == 'tried')
    return rows_of(call('ZRANGEBYSCORE', key, '(' .. after_ms, '+inf', 'LIMIT', skip, n))
end)

-- Deliveries whose lease ends after a time.
reads('leased_after', function(after_ms, n)
    return rows_of(call('ZRANGEBYSCORE', K .. 'leased', '(' .. after_ms, '+inf', 'LIMIT', 0, n))
end)

-- changes: of each {delivery's id, its row as it was seen, as it is to be}. The answer: how many were changed.
writes('repair_deliveries', ALWAYS, function(packed)
    local changed = 0
    for _, change in ipairs(decode(packed)) do
        if deliveries.replace(change[1], change[2], change[3]) then changed = changed + 1 end
    end
    return {changed}
end)

-- Let no dedup key's window end after a time; how many did.
writes('repair_dedup', ALWAYS, function(latest_ms, n)
    local digests = call('ZRANGEBYSCORE', K .. 'dedup:until', '(' .. latest_ms, '+inf', 'LIMIT', 0, n)
    for _, digest in ipairs(digests) do
        dedup.remember(digest, dedup.get(digest)[1], tonumber(latest_ms))
    end
    return {#digests}
end)
