-- Purpose: sets falsified counters to the ledger's values at W; holds stay.
-- Keys:    c h b0 b1 (one hash tag)
-- Args:    inc, W, tok (as the caller saw them), supply, net, open, tok (the ledger's at W),
--          full (1 = buyers that are not listed have 0 in the ledger), then buyer, units ...
-- Returns: {0} OK | {1} CHANGED | {3} MISSING
-- Writes:  c, b0; held and the buyers' holds are summed from h; adds moves, so filters are void
-- Idempotence: a repeat sets the same values.
-- Cost:    O(holds + buyers in b if full + buyers given): blocks the node for that long.
if #KEYS ~= 4 or #ARGV < 8 or #ARGV % 2 ~= 0 then
  return redis.error_reply('ERR mend: arity')
end
local call, sub, fmt = redis.call, string.sub, string.format
local c = call('HMGET', KEYS[1], 'inc', 'W', 'tok', 'adds', 'lim')
if not c[2] then return { 3 } end
if c[1] ~= ARGV[1] or c[2] ~= ARGV[2] or c[3] ~= ARGV[3] then return { 1 } end
local full, limited, held = ARGV[8] == '1', c[5] == '1', 0
local list, b = {}, {}

local function set(buyer, q)
  if not b[buyer] then list[#list + 1] = buyer end
  b[buyer] = q
end

if full then
  local known = call('HKEYS', KEYS[3])
  for i = 1, #known do set(known[i], 0) end
end
for a = 9, #ARGV, 2 do set(ARGV[a], tonumber(ARGV[a + 1])) end
local holds = call('HVALS', KEYS[2])
for i = 1, #holds do
  local v = holds[i]
  local q, buyer = tonumber(sub(v, 19, 28)), sub(v, 49, 48 + sub(v, 46, 48))
  held = held + q
  if buyer ~= '' and (full or b[buyer]) then set(buyer, (b[buyer] or 0) + q) end
end

local adds = (tonumber(c[4] or 0) + 1000003) % 70368744177664
local at, pairs_ = 1, {}
while at <= #list do
  local stop = math.min(at + 999, #list)
  for i = at, stop do
    local k = 2 * (i - at)
    pairs_[k + 1], pairs_[k + 2] = list[i], fmt('%.0f', limited and b[list[i]] or 0)
  end
  call('HSET', KEYS[3], unpack(pairs_, 1, 2 * (stop - at + 1)))
  at = stop + 1
end
call('HSET', KEYS[1], 'supply', ARGV[4], 'net', ARGV[5], 'open', ARGV[6], 'tok', ARGV[7],
  'held', fmt('%.0f', held), 'adds', fmt('%.0f', adds))
return { 0 }
