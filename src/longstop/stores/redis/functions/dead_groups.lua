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

-- Its count is to be `n`; where that is none, the group is gone.
local function set_count(to, id, n)
    if n > 0 then
        call('ZADD', K .. 'groups', n, id)
        call('ZADD', K .. 'groups:of:' .. to, n, id)
    else
        call('ZREM', K .. 'groups', id)
        call('ZREM', K .. 'groups:of:' .. to, id)
        call('DEL', K .. 'group:' .. id)
    end
end

function dead_groups.count_again(id, n)
    set_count(call('HGET', K .. 'group:' .. id, 'destination') or '', id, n)
end

local function join(row)
    local group, id = group_of(row), row[D.id]
    row[D.dead_group] = group
    call('ZADD', K .. 'group:ids:' .. group, 0, id)
    call('ZADD', K .. 'group:at:' .. group, row[D.ended_at_ms] or 0, id)
    if row[D.key] then change_field(K .. 'group:keys:' .. group, row[D.key], 1) end
    set_count(row[D.destination], group, call('ZCARD', K .. 'group:ids:' .. group))
end

local function leave(row)
    local group, id = row[D.dead_group], row[D.id]
    call('ZREM', K .. 'group:ids:' .. group, id)
    call('ZREM', K .. 'group:at:' .. group, id)
    if row[D.key] then change_field(K .. 'group:keys:' .. group, row[D.key], -1) end
    set_count(row[D.destination], group, call('ZCARD', K .. 'group:ids:' .. group))
end

-- A delivery's row was `old` (nil: it is new) and is about to be `new` (nil: it is forgotten). May change `new`.
function dead_groups.change_delivery(old, new)
    if old and old[D.state] == 'dead' then leave(old) end
    if new and new[D.state] == 'dead' then join(new) end
end

-- The next `n` behind the `from` largest.
local function largest(from, n, destination)
    local key = K .. 'groups'
    if destination then key = K .. 'groups:of:' .. destination end
    return call('ZREVRANGE', key, from, from + n - 1, 'WITHSCORES')
end

local function about(id)
    return call('HMGET', K .. 'group:' .. id, 'destination', 'reason', 'status', 'error')
end

local function last_few(id)
    local found, ids = call('ZREVRANGE', K .. 'group:at:' .. id, 0, 4, 'WITHSCORES'), {}
    for i = 1, #found, 2 do ids[#ids + 1] = found[i] end
    return found[2], ids
end

-- How many of a group died in each step. A score is a time, so nothing has to be kept for this.
local function over_time(id, from_ms, step_ms, steps)
    local counted = {}
    for i = 1, steps do
        local begin_ms = from_ms + (i - 1) * step_ms
        counted[i] = call('ZCOUNT', K .. 'group:at:' .. id, begin_ms, begin_ms + step_ms - 1)
    end
    return counted
end

-- The largest groups behind the `from` largest: of each {what it is, how many are in it, how many keys, the first time,
-- the last, the last few ids, how many died in each of `steps` from `from_ms` on}. destination: left out, those of all.
reads('dead_groups', function(from, n, from_ms, step_ms, steps, destination)
    local found, made = largest(from, n, destination), {}
    for i = 1, #found, 2 do
        local id = found[i]
        local first = call('ZRANGE', K .. 'group:at:' .. id, 0, 0, 'WITHSCORES')
        local last_at, sample = last_few(id)
        made[#made + 1] = {
            about(id), found[i + 1], call('HLEN', K .. 'group:keys:' .. id), first[2], last_at, sample,
            over_time(id, from_ms, step_ms, steps),
        }
    end
    return made
end)

-- {id, what it is} of each group.
reads('groups', function(n, destination)
    local found, made = largest(0, n, destination), {}
    for i = 1, #found, 2 do made[#made + 1] = {found[i], about(found[i])} end
    return made
end)
