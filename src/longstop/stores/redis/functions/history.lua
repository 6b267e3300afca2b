-- What is recorded of a delivery: its attempts and people's actions, each as the caller packed it.

local history = {}

-- Add to a list so that its commands may be carried out twice: Redis 7.0 does so with half of a call whose log was torn
-- by a kill, when it reads that log once more. All of the list is written anew; it is short. How many there are then.
local function add(key, packed)
    call('RPUSH', key, packed)
    local all = call('LRANGE', key, 0, -1)
    call('DEL', key)
    for _, each in ipairs(all) do call('RPUSH', key, each) end
    return #all
end

function history.attempt(row, packed, ended_at_ms)
    add(K .. 'attempts:' .. row[D.id], packed)
    indexes.note_recent('attempts', row[D.id], row[D.attempts], ended_at_ms)
end

function history.action(row, packed, at_ms)
    local n = add(K .. 'actions:' .. row[D.id], packed)
    indexes.note_recent('actions', row[D.id], n - 1, at_ms)
end

function history.forget(id)
    call('DEL', K .. 'attempts:' .. id, K .. 'actions:' .. id)
end
