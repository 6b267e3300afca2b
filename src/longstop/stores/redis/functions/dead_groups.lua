-- The dead by what they died of.

local dead_groups = {}

-- A delivery's row was `old` (nil: it is new) and is about to be `new` (nil: it is forgotten). May change `new`.
function dead_groups.change_delivery(old, new) -- luacheck: ignore
end
