-- The rows of deliveries, and the one place that changes one.

local function read(id)
    local packed = call('GET', K .. 'delivery:' .. id)
    return packed and decode(packed)
end

-- Read these rows together: `get` has them from then on.
function deliveries.load(ids)
    local keys = {}
    for i, id in ipairs(ids) do keys[i] = K .. 'delivery:' .. id end
    writing.load(keys)
end

-- Its row; nil where there is none, or another program has written something else there.
function deliveries.get(id)
    local ok, row = pcall(read, id)
    return ok and type(row) == 'table' and row[D.id] == id and row or nil
end

-- Make `new` the row of what was `old`, with all that hangs on it. old nil: it is new; new nil: it is forgotten.
-- packed: `new` as it came, where it did so packed and nothing of it was changed since.
function deliveries.put(old, new, packed)
    dead_groups.change_delivery(old, new)
    if old then
        lanes.leave(old)
        counters.add('deliveries:' .. pair(old[D.destination], old[D.state]), -1)
    end
    if new then
        -- Of one that is dead the group has just been put into it.
        if new[D.state] == 'dead' then packed = nil end
        writing.set(K .. 'delivery:' .. new[D.id], packed or encode(new))
        lanes.join(new)
        counters.add('deliveries:' .. pair(new[D.destination], new[D.state]), 1)
    else
        call('DEL', K .. 'delivery:' .. old[D.id])
        history.forget(old[D.id])
    end
    indexes.change_delivery(old, new)
    local left = old and old[D.lane]
    local joined = new and new[D.lane]
    if left and left ~= joined then lanes.advance(old[D.destination], left) end
    if joined then lanes.advance(new[D.destination], joined) end
end

-- Put `new` where the row is `seen` yet, both packed; the new row, or nil where it is another by now.
function deliveries.replace(id, seen, new)
    if call('GET', K .. 'delivery:' .. id) ~= seen then return nil end
    local row = decode(new)
    deliveries.put(decode(seen), row, new)
    return row
end
