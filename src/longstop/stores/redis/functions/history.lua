-- What is recorded of a delivery: its attempts and people's actions, each as the caller packed it.

local history = {}

function history.attempt(row, packed, ended_at_ms) -- luacheck: ignore
    call('RPUSH', K .. 'attempts:' .. row[D.id], packed)
end

function history.action(row, packed, at_ms) -- luacheck: ignore
    call('RPUSH', K .. 'actions:' .. row[D.id], packed)
end

function history.forget(id)
    call('DEL', K .. 'attempts:' .. id, K .. 'actions:' .. id)
end
