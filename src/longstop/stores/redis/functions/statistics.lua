-- Numbers of a minute or an hour: a hash for each series and time. Its fields are a place (`n`, or the two digits of a
-- bin) and behind that the source and destination.

-- numbers: of each {step, series, time, field, number}
writes('add_statistics', ALWAYS, function(packed)
    for _, each in ipairs(decode(packed)) do
        local step_ms, series, at_ms, field, n = unpack(each)
        local of_series = K .. 'statistics:' .. step_ms .. ':' .. series
        writing.add(of_series, at_ms, at_ms)
        writing.add(K .. 'statistics:' .. step_ms, at_ms, at_ms .. ':' .. series)
        change_field(of_series .. ':' .. at_ms, field, n)
    end
    return {}
end)

-- At most so many buckets of a hash; how many went, and whether all are gone.
local function forget_of(hash, most, bins)
    local gone = 0
    for _, field in ipairs(call('HKEYS', hash)) do
        if string.sub(field, 1, 1) == 'n' then
            if gone >= most then return gone, false end
            local fields = { field }
            for bin = 0, bins - 1 do
                table.insert(fields, string.format('%02d', bin) .. string.sub(field, 2))
            end
            call('HDEL', hash, unpack(fields))
            gone = gone + 1
        end
    end
    call('DEL', hash)
    return gone, true
end

-- n: how many buckets at most; bins: how many there are
writes('forget_statistics', ALWAYS, function(step_ms, before_ms, n, bins)
    local all, most, gone = K .. 'statistics:' .. step_ms, tonumber(n), 0
    while gone < most do
        local oldest = call('ZRANGEBYSCORE', all, '-inf', '(' .. before_ms, 'LIMIT', 0, 1)[1]
        if not oldest then break end
        local at_ms, series = string.match(oldest, '^(%-?%d+):(.*)$')
        local of_series = all .. ':' .. series
        local some, done = forget_of(of_series .. ':' .. at_ms, most - gone, tonumber(bins))
        gone = gone + some
        if done then
            call('ZREM', of_series, at_ms)
            call('ZREM', all, oldest)
        end
    end
    return {gone}
end)
