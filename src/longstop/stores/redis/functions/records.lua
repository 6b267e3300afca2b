-- Small records that are changed where they stand as they were read: users, jobs, the book of alerts. The rules are in
-- the model and are asked before; here is what makes two who change the same thing see each other.

local records = {}

-- change: {hash, id, what has to stand there, the record, {set, score, member} of each entry of a sorted set that comes,
-- {set, member} of each that goes}. What has to stand there: true for anything, false for nothing. The record: false
-- where it goes.
function records.stands(change)
    local hash, id, seen = unpack(change)
    return seen == true or call('HGET', K .. hash, id) == seen
end

-- Whether it was done.
function records.change(change)
    if not records.stands(change) then return false end
    local hash, id, _, record, adds, drops = unpack(change)
    if record then
        call('HSET', K .. hash, id, record)
    else
        call('HDEL', K .. hash, id)
    end
    for _, each in ipairs(drops) do call('ZREM', K .. each[1], each[2]) end
    for _, each in ipairs(adds) do call('ZADD', K .. each[1], each[2], each[3]) end
    return true
end

-- Each by itself; for each 1 where it was done.
writes('change_each', ALWAYS, function(packed)
    local done = {}
    for i, change in ipairs(decode(packed)) do done[i] = records.change(change) and 1 or 0 end
    return done
end)
