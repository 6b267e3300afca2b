-- The dead by what they died of. A row that becomes dead comes with the text of its group (`dead_group`, which
-- error_group.group_of made: a rule of the model's), and is kept with the group's id in that place.

local dead_groups = {}
local GROUPS_MAX = 1000 -- of so many, what dies of yet another error joins the group of other errors of its like
local OTHER = '(other errors)' -- error_group.OTHER

local function group_id(row, text)
    return string.sub(redis.sha1hex(
        pair(row[D.destination], row[D.reason] or '') .. ':' .. (row[D.last_status] or -1) .. ':' .. text), 1, 16)
end

-- The id of the group that a row joins, which is there from then on.
local function group_of(row)
    local text = row[D.dead_group] or ''
    local id = group_id(row, text)
    if call('EXISTS', K .. 'group:' .. id) == 1 then return id end
    if call('ZCARD', K .. 'groups') >= GROUPS_MAX then
        text = OTHER
        id = group_id(row, text)
    end
    call('HSET', K .. 'group:' .. id, 'destination', row[D.destination], 'reason', row[D.reason] or '',
        'status', row[D.last_status] or -1, 'error', text)
    return id
end

local function count(row, id, n)
    call('ZINCRBY', K .. 'groups:of:' .. row[D.destination], n, id)
    return tonumber(call('ZINCRBY', K .. 'groups', n, id))
end

local function join(row)
    local group, id = group_of(row), row[D.id]
    row[D.dead_group] = group
    call('ZADD', K .. 'group:ids:' .. group, 0, id)
    call('ZADD', K .. 'group:at:' .. group, row[D.ended_at_ms] or 0, id)
    if row[D.key] then call('HINCRBY', K .. 'group:keys:' .. group, row[D.key], 1) end
    count(row, group, 1)
end

local function leave(row)
    local group, id = row[D.dead_group], row[D.id]
    call('ZREM', K .. 'group:ids:' .. group, id)
    call('ZREM', K .. 'group:at:' .. group, id)
    if row[D.key] and call('HINCRBY', K .. 'group:keys:' .. group, row[D.key], -1) <= 0 then
        call('HDEL', K .. 'group:keys:' .. group, row[D.key])
    end
    if count(row, group, -1) <= 0 then
        call('ZREM', K .. 'groups', group)
        call('ZREM', K .. 'groups:of:' .. row[D.destination], group)
        call('DEL', K .. 'group:' .. group)
    end
end

-- A delivery's row was `old` (nil: it is new) and is about to be `new` (nil: it is forgotten). May change `new`.
function dead_groups.change_delivery(old, new)
    if old and old[D.state] == 'dead' then leave(old) end
    if new and new[D.state] == 'dead' then join(new) end
end

-- The largest groups: of each its id, what it is, how many are in it, how many keys, first and last time, the last few ids.
-- destination: left out, those of all
reads('dead_groups', function(n, destination)
    local key = K .. 'groups'
    if destination then key = K .. 'groups:of:' .. destination end
    local found, made = call('ZREVRANGE', key, 0, n - 1, 'WITHSCORES'), {}
    for i = 1, #found, 2 do
        local id = found[i]
        local about = call('HMGET', K .. 'group:' .. id, 'destination', 'reason', 'status', 'error')
        local at = K .. 'group:at:' .. id
        local first = call('ZRANGE', at, 0, 0, 'WITHSCORES')
        local last = call('ZREVRANGE', at, 0, 4, 'WITHSCORES')
        local sample = {}
        for j = 1, #last, 2 do sample[#sample + 1] = last[j] end
        made[#made + 1] = {id, about, found[i + 1], call('HLEN', K .. 'group:keys:' .. id), first[2], last[2], sample}
    end
    return made
end)
