-- Taking over what stood elsewhere.

local function keep_key(digest, id, until_ms)
    local kept = dedup.get(digest)
    if not kept or kept[2] < until_ms then dedup.remember(digest, id, until_ms) end
end

-- history: of each delivery {id, attempts as {packed, number, when it ended}, actions as {packed, when}}
local function restore_history(recorded)
    for _, each in ipairs(recorded) do
        local id, attempts, actions = unpack(each)
        history.restore('attempts', id, attempts)
        for _, attempt in ipairs(attempts) do indexes.note_recent('attempts', id, attempt[2], attempt[3]) end
        history.restore('actions', id, actions)
        for i, action in ipairs(actions) do indexes.note_recent('actions', id, i - 1, action[2]) end
    end
end

-- wholes: of each {item as for append, redeliveries, the record of who made it or false, its parent, history}. 1 for
-- each that was put in, 0 for one that is there.
writes('restore', {}, function(packed)
    local results = {}
    for i, whole in ipairs(decode(packed)) do
        local item, redeliveries, edit, parent, recorded = unpack(whole)
        results[i] = events.refuse_taken({item}) and 0 or 1
        if results[i] == 1 then
            events.keep(item)
            if redeliveries > 0 then call('HSET', K .. 'redeliveries', item[1], redeliveries) end
            if edit then edits.keep(item[1], parent, edit) end
            restore_history(recorded)
            if item[9] and item[10] > 0 then keep_key(item[9], item[1], item[10]) end
        end
    end
    return results
end)

-- {digest, [event's id, end of the window]} of the next keys behind a digest.
reads('dedup_keys', function(from, n)
    local found = {}
    for i, digest in ipairs(call('ZRANGEBYLEX', K .. 'dedup:digests', from, '+', 'LIMIT', 0, n)) do
        found[i] = {digest, call('HGET', K .. 'dedup', digest)}
    end
    return found
end)

-- keys: of each {digest, event's id, end of its window}
writes('keep_dedup_keys', {}, function(packed)
    for _, key in ipairs(decode(packed)) do keep_key(key[1], key[2], key[3]) end
    return {}
end)
