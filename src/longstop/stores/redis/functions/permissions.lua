-- What the caller's user may do. A function that comes upon a command that it may not use has written half by then.

-- Of these commands those that are refused.
reads('refused', function(...)
    local refused = {}
    for _, command in ipairs({...}) do
        local key = K .. (command == 'PUBLISH' and 'arrivals' or '')
        if not redis.acl_check_cmd(command, key) then refused[#refused + 1] = command end
    end
    return refused
end)
