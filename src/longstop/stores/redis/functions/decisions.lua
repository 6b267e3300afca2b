-- What people decide. What a decision makes of a delivery is said by the caller, who has seen its row: it is carried
-- out where the row is as it was seen.

-- actions: of each {delivery's id, the row as it was seen, as it is to be, the record, when}. 1 for each carried out.
writes('act', ALWAYS, function(packed)
    local results = {}
    for i, action in ipairs(decode(packed)) do
        local row = deliveries.replace(action[1], action[2], action[3])
        results[i] = row and 1 or 0
        if row then history.action(row, action[4], action[5]) end
    end
    return results
end)

local edits = {}

-- Keep what says that event `id` was sent in the place of `parent`.
function edits.keep(id, parent, packed)
    call('HSET', K .. 'edits', id, packed)
    call('ZADD', K .. 'edits:of:' .. parent, 0, id)
end

-- Keep an event in the place of `parent`, whose deliveries `ids` say so from then on.
writes('replace', {}, function(packed)
    local item, parent, edit, ids = unpack(decode(packed))
    local taken = events.refuse_taken({item})
    if taken then return nil, taken end
    events.keep(item)
    edits.keep(item[1], parent, edit)
    for _, id in ipairs(ids) do
        local row = deliveries.get(id)
        if row then
            row[D.replaced_by] = item[1]
            writing.set(K .. 'delivery:' .. id, encode(row))
        end
    end
    return {}
end)

-- destination, the pause, and the same begun when the one before it was (`{now}` and `{packed, since}` apart).
writes('pause', ALWAYS, function(destination, pause)
    local earlier = call('HGET', K .. 'pauses', destination)
    local new = decode(pause)
    if earlier then new[2] = decode(earlier)[2] end
    call('HSET', K .. 'pauses', destination, encode(new))
    return {earlier and 0 or 1}
end)

writes('resume', ALWAYS, function(destination)
    local ended = call('HDEL', K .. 'pauses', destination)
    enlisted = ended == 1
    return {ended}
end)

-- Put a circuit ('': none) where the one of this version is (0: none). Of a packed one the version is first.
writes('change_circuit', ALWAYS, function(destination, version, circuit)
    local kept = call('HGET', K .. 'circuits', destination)
    local found = kept and decode(kept)[1] or 0
    if found ~= tonumber(version) then return {0} end
    if circuit == '' then
        call('HDEL', K .. 'circuits', destination)
    else
        call('HSET', K .. 'circuits', destination, circuit)
    end
    enlisted = true
    return {1}
end)
