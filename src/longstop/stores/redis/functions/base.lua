-- What every function begins and ends with. The library is one chunk: a table for each subject, since a chunk has
-- room for 200 locals. Nothing may fail after its first write: what a function has written stays written.

local function encode(value) return cmsgpack.pack(value) end
local function decode(packed) return cmsgpack.unpack(packed) end

-- Something was put where a lease finds it.
local enlisted = false

-- Two names in one, so that no other two make the same.
local function pair(first, second)
    return #first .. ':' .. first .. second
end

-- The rows of deliveries: deliveries.lua. The lanes look at them, and they are put into lanes.
local deliveries = {}

-- Change a number in a hash, which goes where nothing is left of it; what it is then. It is written as what it is to
-- be, as every number: so that it may be written twice (history.lua).
local function change_field(key, field, n)
    local sum = n + tonumber(writing.field(key, field) or 0)
    writing.set_field(key, field, sum > 0 and sum)
    return sum
end

local counters = {deltas = {}}

function counters.add(counter, n)
    counters.deltas[counter] = (counters.deltas[counter] or 0) + n
end

-- Once a call, however many rows it changed.
function counters.write()
    for counter, n in pairs(counters.deltas) do
        -- As a number that may be written twice (history.lua).
        local sum = n + tonumber(call('HGET', K .. 'counters', counter) or 0)
        if n ~= 0 and sum == 0 then
            call('HDEL', K .. 'counters', counter)
        elseif n ~= 0 then
            call('HSET', K .. 'counters', counter, sum)
        end
    end
    counters.deltas = {}
end

local function begin(prefix)
    K = prefix
    enlisted = false
    counters.deltas = {}
    writing.begin()
end

-- Register a function that writes, and that does so once however often it is called with the same number: what it
-- answered last is kept under the caller's slot. A caller whose answer was lost asks again and is told the same.
-- Arguments: the slot's key, the call's number there, the caller's name, and what `work` takes. `work` answers with
-- lists of text and integers, or with nil and an error, and then it has written nothing. `expand` makes of it what
-- is too large to be kept.
local function writes(name, flags, work, expand)
    local function callback(keys, args)
        begin(keys[1])
        local slot, number, caller = args[1], tonumber(args[2]), args[3]
        local kept = call('GET', slot)
        local answered, result = 0, nil
        if kept then
            local last = decode(kept)
            answered, result = last[1], last[2]
        end
        if answered > number then
            return redis.error_reply('LATE this call was given up, and its slot is used again')
        end
        if answered < number then
            local trouble
            result, trouble = work(unpack(args, 4))
            if result == nil then
                return redis.error_reply(trouble)
            end
            counters.write()
            writing.finish()
            kept = encode({number, result})
            if enlisted then
                redis.pcall('PUBLISH', K .. 'arrivals', caller) -- nothing may fail any more
            end
        end
        -- Written again, too, when it is only told again: WAIT counts who has what its own connection has written.
        -- An hour: nobody asks again so late. Only rubbish is left to the server's clock.
        call('SET', slot, kept, 'EX', 3600)
        return {enlisted and 1 or 0, expand and expand(result) or result}
    end
    redis.register_function{function_name = LIBRARY .. '_' .. name, callback = callback, flags = flags}
end

-- Register a function that only reads.
local function reads(name, work)
    local function callback(keys, args)
        begin(keys[1])
        return work(unpack(args))
    end
    redis.register_function{function_name = LIBRARY .. '_' .. name, callback = callback, flags = {'no-writes'}}
end

-- What frees memory, or must go on without: settling goes on where appending is refused for want of memory.
local ALWAYS = {'allow-oom'}
