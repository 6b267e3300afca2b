-- What a call writes into strings, hashes and sorted sets is put together and written at its end, in one command for
-- all strings and one or two for each set and hash. To the server a command costs more than most of what it writes, and
-- its log repeats the key of each. `call` writes what is to be written of a key before it asks for it.

-- The prefix of all keys: `{longstop}:`. Set at the beginning of every call.
local K = ''

local writing = {}
local NO_SCORE = '0' -- as text: to write a number out takes the server as long as to find the member's place
local AT_ONCE = 1000 -- arguments of one command: unpack has room for some thousands

function writing.begin()
    writing.strings = {} -- key to what it is or is to be, false where it is not there; only what is known
    writing.new_strings = {} -- the keys of those that are to be written
    writing.hashes = {} -- key to {known: field to value, as with strings; changed: the fields that are to be written}
    writing.sets = {} -- key to {members: in the order in which they came; scores: of each, false where it goes}
    writing.most = {} -- what `note_most` was told
end

-- One command, or several where the arguments are many: an even number in each. key: what stands before them, or nil.
local function in_pieces(command, key, args)
    for from = 1, #args, AT_ONCE do
        local to = math.min(from + AT_ONCE - 1, #args)
        if key then
            redis.call(command, key, unpack(args, from, to))
        else
            redis.call(command, unpack(args, from, to))
        end
    end
end

-- Pairs of what has a value, and what has false: it goes.
local function apart(names, values, value_first)
    local coming, going = {}, {}
    for _, name in ipairs(names) do
        local value = values[name]
        if value then
            coming[#coming + 1] = value_first and value or name
            coming[#coming + 1] = value_first and name or value
        else
            going[#going + 1] = name
        end
    end
    return coming, going
end

-- -- strings ------------------------------------------------------------------------------------------

function writing.set(key, value)
    writing.strings[key] = value
    writing.new_strings[#writing.new_strings + 1] = key
end

local function write_strings()
    local args = {}
    for _, key in ipairs(writing.new_strings) do
        args[#args + 1] = key
        args[#args + 1] = writing.strings[key]
    end
    writing.new_strings = {}
    in_pieces('MSET', nil, args)
end

-- Read these strings together: `call` knows them from then on. What is there and is no string counts as not there.
function writing.load(keys)
    for from = 1, #keys, AT_ONCE do
        local to = math.min(from + AT_ONCE - 1, #keys)
        for i, value in ipairs(redis.call('MGET', unpack(keys, from, to))) do
            local key = keys[from + i - 1]
            if writing.strings[key] == nil then writing.strings[key] = value end
        end
    end
end

-- Whether one of these strings is there.
function writing.any(keys)
    for from = 1, #keys, AT_ONCE do
        if redis.call('EXISTS', unpack(keys, from, math.min(from + AT_ONCE - 1, #keys))) > 0 then return true end
    end
    for _, key in ipairs(keys) do
        if writing.strings[key] then return true end
    end
    return false
end

-- -- hashes -------------------------------------------------------------------------------------------

local function hash_of(key)
    if not writing.hashes[key] then writing.hashes[key] = {known = {}, changed = {}} end
    return writing.hashes[key]
end

-- Read these fields together: `field` knows them from then on.
function writing.load_fields(key, fields)
    local known = hash_of(key).known
    for from = 1, #fields, AT_ONCE do
        local to = math.min(from + AT_ONCE - 1, #fields)
        for i, value in ipairs(redis.call('HMGET', key, unpack(fields, from, to))) do
            local field = fields[from + i - 1]
            if known[field] == nil then known[field] = value end
        end
    end
end

-- What a field is or is to be, false where there is none.
function writing.field(key, field)
    local known = hash_of(key).known
    if known[field] == nil then known[field] = redis.call('HGET', key, field) end
    return known[field]
end

-- value: false where the field goes.
function writing.set_field(key, field, value)
    local hash = hash_of(key)
    hash.known[field] = value
    hash.changed[#hash.changed + 1] = field
end

local function write_hash(key)
    local hash = writing.hashes[key]
    local coming, going = apart(hash.changed, hash.known, false)
    writing.hashes[key] = nil
    in_pieces('HSET', key, coming)
    in_pieces('HDEL', key, going)
end

-- How far times lie apart at most, in `marks`.
function writing.note_most(name, ms)
    if ms > (writing.most[name] or 0) then writing.most[name] = ms end
end

local function write_most()
    for name, ms in pairs(writing.most) do
        local key = K .. 'marks'
        if ms > tonumber(redis.call('HGET', key, name) or 0) then redis.call('HSET', key, name, ms) end
    end
end

-- -- sorted sets --------------------------------------------------------------------------------------

local function change_member(key, member, score)
    local set = writing.sets[key]
    if not set then
        set = {members = {}, scores = {}}
        writing.sets[key] = set
    end
    if set.scores[member] == nil then set.members[#set.members + 1] = member end
    set.scores[member] = score
end

-- Put a member into a sorted set, or to another place in it.
function writing.add(key, score, member) change_member(key, member, score) end

-- Whether it is in the set, or is to be.
function writing.has(key, member)
    local set = writing.sets[key]
    local score = set and set.scores[member]
    if score == nil then score = redis.call('ZSCORE', key, member) end
    return score ~= false
end

function writing.remove(key, member) change_member(key, member, false) end

-- Write what comes into a set, and return what goes out of it.
local function write_coming(key)
    local set = writing.sets[key]
    local coming, going = apart(set.members, set.scores, true)
    writing.sets[key] = nil
    in_pieces('ZADD', key, coming)
    return going
end

-- -- all of it ----------------------------------------------------------------------------------------

local function sorted_keys(table_)
    local keys = {}
    for key in pairs(table_) do keys[#keys + 1] = key end
    table.sort(keys)
    return keys
end

-- In this order, for half of it may come to stand alone (docs/stores/redis.md): what a delivery is, the queues that it
-- comes into, the key that makes another event its duplicate, and only then the queues that it leaves.
function writing.finish()
    write_strings()
    write_most()
    local sets, going = sorted_keys(writing.sets), {}
    for i, key in ipairs(sets) do going[i] = write_coming(key) end
    for _, key in ipairs(sorted_keys(writing.hashes)) do write_hash(key) end
    for i, key in ipairs(sets) do in_pieces('ZREM', key, going[i]) end
end

-- Write what is to be written of a key, and forget what is known of it.
local function settle(key)
    if writing.sets[key] then
        write_strings()
        in_pieces('ZREM', key, write_coming(key))
    end
    if writing.hashes[key] then write_hash(key) end
    if writing.strings[key] ~= nil then
        write_strings()
        writing.strings[key] = nil
    end
end

-- A command at once. Nothing of redis is there yet while the library is loaded.
local function call(command, key, ...)
    if command == 'GET' and writing.strings[key] ~= nil then return writing.strings[key] end
    settle(key)
    if command == 'DEL' or command == 'UNLINK' then
        for _, another in ipairs({...}) do settle(another) end
    end
    return redis.call(command, key, ...)
end
