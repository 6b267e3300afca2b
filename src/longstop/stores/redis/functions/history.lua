-- What is recorded of a delivery: its attempts and people's actions, each as the caller packed it.

local history = {}
local RECORDS_AT_ONCE = 1000 -- arguments of one command

-- Make a list these records, so that the commands may be carried out twice: Redis does so with half of a call whose log
-- was torn by a kill, when it reads that log once more (docs/stores/redis.md). All of the list is written anew; it is
-- short. What comes first is in the way of nothing: to delete what is not there would not be written to the log.
local function keep(key, records)
    if #records == 0 then return end
    call('RPUSH', key, records[1])
    call('DEL', key)
    for from = 1, #records, RECORDS_AT_ONCE do
        call('RPUSH', key, unpack(records, from, math.min(from + RECORDS_AT_ONCE - 1, #records)))
    end
end

-- How many there are then.
local function add(key, packed)
    local records = call('LRANGE', key, 0, -1)
    records[#records + 1] = packed
    keep(key, records)
    return #records
end

function history.attempt(row, packed, ended_at_ms)
    add(K .. 'attempts:' .. row[D.id], packed)
    indexes.note_recent('attempts', row[D.id], row[D.attempts], ended_at_ms)
end

function history.action(row, packed, at_ms)
    local n = add(K .. 'actions:' .. row[D.id], packed)
    indexes.note_recent('actions', row[D.id], n - 1, at_ms)
end

-- What was recorded elsewhere; kind: 'attempts' or 'actions'; records: of each {packed, …}.
function history.restore(kind, id, records)
    local packed = {}
    for i, record in ipairs(records) do packed[i] = record[1] end
    keep(K .. kind .. ':' .. id, packed)
end

-- The first `n`; how many went.
function history.forget_attempts(id, n)
    local key = K .. 'attempts:' .. id
    local there = call('LLEN', key)
    if n >= there then
        call('DEL', key)
        return there
    end
    -- By how many stay: the first `n` would be others if it were done twice.
    call('LTRIM', key, n - there, -1)
    return n
end

function history.forget(id)
    call('DEL', K .. 'attempts:' .. id, K .. 'actions:' .. id)
end
