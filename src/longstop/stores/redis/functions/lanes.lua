-- What may be leased, and lanes: in each, the delivery with the lowest id that is not done with goes first, and the
-- others are held. One of a lane at most stands in a queue, so leasing looks at no lane.

local lanes = {}
local IN_LANE = {scheduled = true, leased = true, dead = true}
local DUE_MAX = 2 ^ 42 - 1 -- in 2109
local TRIES_MAX = 1023 -- with DUE_MAX, what a score holds exactly

local function is_tried(row)
    return row[D.attempts] > 0
end

local function due_key(destination, tried)
    return K .. (tried and 'due:tried:' or 'due:untried:') .. destination
end

-- By tries and then by time: a probe is one with the fewest.
local function by_tries(row)
    return math.min(row[D.tries], TRIES_MAX) * (DUE_MAX + 1) + math.max(0, math.min(row[D.due_at_ms], DUE_MAX))
end

local function enlist(row)
    local to, id = row[D.destination], row[D.id]
    writing.add(due_key(to, is_tried(row)), row[D.due_at_ms], id)
    if is_tried(row) then writing.add(K .. 'tries:' .. to, by_tries(row), id) end
    if row[D.expires_at_ms] then writing.add(K .. 'expiring:' .. to, row[D.expires_at_ms], id) end
    enlisted = true
end

local function delist(row)
    local to, id = row[D.destination], row[D.id]
    writing.remove(due_key(to, is_tried(row)), id)
    if is_tried(row) then writing.remove(K .. 'tries:' .. to, id) end
    if row[D.expires_at_ms] then writing.remove(K .. 'expiring:' .. to, id) end
end

-- Take an id whose row cannot be read out of all that a lease looks at. In its lane it stays, and holds the others.
function lanes.drop(destination, id, now_ms)
    for _, set in ipairs({'due:untried:', 'due:tried:', 'tries:', 'expiring:'}) do
        writing.remove(K .. set .. destination, id)
    end
    writing.add(K .. 'unreadable', now_ms, id)
end

-- Put what was dropped, and can be read again, where it belongs.
function lanes.take_back(row)
    writing.remove(K .. 'unreadable', row[D.id])
    if row[D.state] ~= 'scheduled' then return end
    lanes.join(row)
    if row[D.lane] then lanes.advance(row[D.destination], row[D.lane]) end
end

local function hold(row)
    writing.add(K .. 'held:' .. row[D.destination], row[D.due_at_ms], row[D.id])
end

local function lane_key(destination, lane)
    return K .. 'lane:' .. pair(destination, lane)
end

local function stands_in(row, destination, lane)
    return row and row[D.destination] == destination and row[D.lane] == lane
end

-- Whether a delivery that is scheduled waits for another of its lane.
function lanes.is_held(row)
    return row[D.state] == 'scheduled' and row[D.lane]
        and call('ZSCORE', K .. 'held:' .. row[D.destination], row[D.id]) ~= false
end

-- The row that goes first in the lane of this one: the one under way, or the first of it.
function lanes.first(row)
    local place = pair(row[D.destination], row[D.lane])
    local front = call('HGET', K .. 'fronts', place)
    return front or call('ZRANGE', K .. 'lane:' .. place, 0, 0)[1]
end

function lanes.leave(row)
    local id = row[D.id]
    if row[D.state] == 'leased' then writing.remove(K .. 'leased', id) end
    if row[D.state] == 'scheduled' then
        delist(row)
        if row[D.lane] then writing.remove(K .. 'held:' .. row[D.destination], id) end
    end
    if row[D.lane] and IN_LANE[row[D.state]] then writing.remove(lane_key(row[D.destination], row[D.lane]), id) end
end

-- One that is under way is its lane's first, whatever its id. What came in from elsewhere may be so already.
local function go_first(row)
    local place = pair(row[D.destination], row[D.lane])
    local front = writing.field(K .. 'fronts', place)
    if front == row[D.id] then return end
    local before = front and deliveries.get(front)
    if stands_in(before, row[D.destination], row[D.lane]) and before[D.state] == 'scheduled' then
        delist(before)
        hold(before)
    end
    writing.set_field(K .. 'fronts', place, row[D.id])
end

function lanes.join(row)
    local id = row[D.id]
    if row[D.state] == 'leased' then
        writing.add(K .. 'leased', row[D.lease_until_ms], id)
        if row[D.lane] then go_first(row) end
    end
    if row[D.lane] and IN_LANE[row[D.state]] then writing.add(lane_key(row[D.destination], row[D.lane]), NO_SCORE, id) end
    if row[D.state] == 'scheduled' then
        if row[D.lane] then hold(row) else enlist(row) end
    end
end

-- Let the first of a lane go, and hold the others.
function lanes.advance(destination, lane)
    local place = pair(destination, lane)
    local front = writing.field(K .. 'fronts', place)
    local before = front and deliveries.get(front)
    local there = stands_in(before, destination, lane)
    if there and before[D.state] == 'leased' then return end
    local head = call('ZRANGE', K .. 'lane:' .. place, 0, 0)[1]
    if there and front ~= head and before[D.state] == 'scheduled' then
        delist(before)
        hold(before)
    end
    local first = head and deliveries.get(head)
    -- One that cannot be read holds the others until it is parked or mended (parking.lua).
    if head and not first then return end
    if not first or first[D.state] ~= 'scheduled' then
        if front then writing.set_field(K .. 'fronts', place, false) end
        return
    end
    local held = K .. 'held:' .. destination
    local is_held = writing.has(held, head)
    -- One that has just come to the front is not held only where half of a call stands alone.
    if is_held or front ~= head then enlist(first) end
    if is_held then writing.remove(held, head) end
    if front ~= head then writing.set_field(K .. 'fronts', place, head) end
end
