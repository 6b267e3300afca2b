-- Parking a delivery whose row cannot be read: the caller makes it a new one, from its event (parking.py).

-- Of a destination's groups the one that it stands in, '' where in none.
local function group_with(to, id)
    for _, group in ipairs(call('ZRANGE', K .. 'groups:of:' .. to, 0, -1)) do
        if call('ZSCORE', K .. 'group:ids:' .. group, id) then return group end
    end
    return ''
end

-- Its row is to be `new`, packed, where it was in `state` and cannot be read still. Whether that was so.
writes('park_unread', ALWAYS, function(id, state, packed)
    if deliveries.get(id) then return {0} end
    local old, new = decode(packed), decode(packed)
    old[D.state] = state
    if state == 'dead' then old[D.dead_group] = group_with(new[D.destination], id) end
    lanes.drop(new[D.destination], id, 0)
    call('ZREM', K .. 'unreadable', id)
    deliveries.put(old, new)
    return {1}
end)

-- Put back into the queue those of the dropped that have been mended; {id, when it was dropped} of the others.
writes('take_back', ALWAYS, function(n)
    local left = {}
    local dropped = call('ZRANGE', K .. 'unreadable', 0, n - 1, 'WITHSCORES')
    for i = 1, #dropped, 2 do
        local row = deliveries.get(dropped[i])
        if row then lanes.take_back(row) else left[#left + 1] = {dropped[i], tonumber(dropped[i + 1])} end
    end
    return left
end)

-- Of deliveries that stand among what is leased, and are not by their rows, make the sets those of their rows: half of a
-- call has left them so (docs/stores/redis.md).
writes('put_right', ALWAYS, function(packed)
    for _, id in ipairs(decode(packed)) do
        local row = deliveries.get(id)
        if row and row[D.state] ~= 'leased' then
            local leased = {unpack(row)}
            leased[D.state], leased[D.ended_at_ms] = 'leased', false
            lanes.leave(leased)
            lanes.join(row)
            indexes.change_delivery(leased, row)
            if row[D.lane] then lanes.advance(row[D.destination], row[D.lane]) end
        end
    end
    return {}
end)
