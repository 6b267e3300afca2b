-- What is recorded of a delivery: its attempts and people's actions, each as the caller packed it.

local history = {}

function history.attempt(row, packed, ended_at_ms)
    call('RPUSH', K .. 'attempts:' .. row[D.id], packed)
    indexes.note_recent('attempts', row[D.id], row[D.attempts], ended_at_ms)
end

function history.action(row, packed, at_ms)
    local n = call('RPUSH', K .. 'actions:' .. row[D.id], packed)
    indexes.note_recent('actions', row[D.id], n - 1, at_ms)
end

function history.forget(id)
    call('DEL', K .. 'attempts:' .. id, K .. 'actions:' .. id)
end
