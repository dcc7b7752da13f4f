-- Purpose: takes holds for a batch of orders on one cell; equals its single calls in order.
-- Keys:    c h b0 b1 d0 d1 (one hash tag)
-- Args:    limit (units, 0 = none), deadline, opens, closes (Redis ms, 0 = none), then per item:
--          id (16 B), the buyer's hash (< 2^46) + 2^46 * (relay + 2 * checked + 4 * state), where
--          state is 0 S, 1 L, 2 T, and the hold (qty %010d, '-', nonce 16 hex, buyer length
--          %03d, buyer, payload)
-- Returns: {now ms, -1} when the cell is missing, else {now, W, adds, inc, available, all ids, a
--          letter per item, then what the letters O H V X stand for, in their order}:
--          N NEW now | O NEW, the time t of before | H HELD, its value | V VERDICT, its kind
--          | F FENCED | X CONFLICT, its content | D LATE | R RETURNING | W NOT_OPEN |
--          c CLOSED | p PAUSED | l LIMIT | s SOLDOUT, and the same in capitals for '+'
-- Writes:  h (new, shared and touched holds), b0, c.held, c.adds
-- Idempotence: the same nonce gets NEW again and rewrites the same value.
-- Cost:    O(items), at most 17 calls. A value of h: state, content 4, t 13, qty 10, '-' or '+',
--          nonce 16, buyer length 3, buyer, payload. An F entry lies under the whole id.
if #KEYS ~= 6 or #ARGV < 7 or (#ARGV - 4) % 3 ~= 0 then
  return redis.error_reply('ERR reserve: arity')
end
local call, sub, fmt = redis.call, string.sub, string.format
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local c = call('HMGET', KEYS[1], 'supply', 'net', 'held', 'W', 'adds', 'inc', 'open', 'lim', 'F',
  'fg')
if not c[4] then return { now, -1 } end
local limit, deadline, opens, closes = unpack(ARGV, 1, 4)
limit, deadline, opens, closes = limit + 0, deadline + 0, opens + 0, closes + 0
local held, adds, open, limited = tonumber(c[3]), tonumber(c[5]), c[7], c[8] == '1'
local left = c[1] - c[2] - held
if limit > 0 and not limited then
  return redis.error_reply('ERR reserve: a limit on a cell that was loaded without one')
end
local ids, keys, buyers, n = {}, {}, {}, (#ARGV - 4) / 3
for i = 1, n do
  local id, hold = ARGV[3 * i + 2], ARGV[3 * i + 4]
  ids[i], keys[i], buyers[i] = id, sub(id, 1, 12), sub(hold, 31, 30 + sub(hold, 28, 30))
end

-- What cannot be there is not asked for: most sales have empty hashes and no fences.
local function get(key, fields)
  return call('EXISTS', key) == 1 and call('HMGET', key, unpack(fields)) or {}
end

local hv, fences = get(KEYS[2], keys), c[9] and get(KEYS[2], ids) or {}
local d0, d1 = get(KEYS[5], keys), get(KEYS[6], keys)
local b0, b1 = get(KEYS[3], buyers), limited and {} or get(KEYS[4], buyers)
local t13 = fmt('%013.0f', now)
local H, B, hw, bw, text = {}, {}, {}, {}, {}
local S, T, letters = 0, 2, { [0] = 'S', 'L', 'T' }

local function put(key, v)
  H[key], hw[#hw + 1], hw[#hw + 2] = v, key, v
end

-- What h and d know of the item: its letter and what goes with it, or nothing.
local function seen(i, id, hold, state)
  local key = keys[i]
  if state == S and fences[i] then return 'F' end
  local v = H[key] or hv[i]
  if v then
    if sub(v, 2, 5) ~= sub(id, 13) or sub(v, 49, 48 + sub(v, 46, 48)) ~= buyers[i] then
      return 'X', sub(v, 2, 5)
    end
    local mine = sub(v, 29, 45) == sub(hold, 11, 27)
    v = mine and v or sub(v, 1, 28) .. '+' .. sub(hold, 12, 27) .. sub(v, 46)
    put(key, v)
    if mine then return 'O', tonumber(sub(v, 6, 18)) else return 'H', v end
  end
  local d = d0[i] or d1[i]
  if not d then return end
  if sub(d, 1, 4) ~= sub(id, 13) then return 'X', sub(d, 1, 4) end
  return 'V', sub(d, 5, 5)
end

-- The buyer's units (nil = no field in b).
local function units(i)
  return B[buyers[i]] or (b0[i] and tonumber(b0[i])) or (b1[i] and 0) or nil
end

-- The letter of the refusal of a new hold, or nothing.
local function refuse(has, qty, state, checked, relay)
  if state ~= T and not relay then
    if opens > 0 and now < opens then return 'W' end
    if open == '0' or (closes > 0 and now >= closes) then return has and 'C' or 'c' end
    if open ~= '1' then return has and 'P' or 'p' end
    if has and not checked then return 'R' end
  end
  if state ~= T and limit > 0 and (has or 0) + qty > limit then return has and 'L' or 'l' end
  if left < qty then return has and 'S' or 's' end
  -- Of a buyer who may have been forgotten the database is asked before units are taken: this may
  -- be a repeat. A refusal is not worth that, it takes nothing.
  if c[10] and not has and not checked and not relay and state ~= T then return 'R' end
end

local function take(i, id, number, hold)
  local flags = math.floor(number / 70368744177664)
  local relay, checked, state = flags % 2 == 1, flags % 4 > 1, math.floor(flags / 4)
  if state ~= T and deadline > 0 and now > deadline then return 'D' end
  local code, extra = seen(i, id, hold, state)
  local buyer, qty, has = buyers[i], tonumber(sub(hold, 1, 10)), state ~= T and units(i) or nil
  code = code or refuse(has, qty, state, checked, relay)
  if code then return code, extra end
  held, left = held + qty, left - qty
  put(keys[i], letters[state] .. sub(id, 13) .. t13 .. hold)
  if state ~= T then
    if not has then adds = (adds + number) % 70368744177664 end
    local sum = limited and (has or 0) + qty or 0
    text[sum] = text[sum] or fmt('%.0f', sum)
    B[buyer], bw[#bw + 1], bw[#bw + 2] = sum, buyer, text[sum]
  end
  return 'N'
end

local out, codes = { now, tonumber(c[4]), 0, tonumber(c[6]), 0, table.concat(ids), '' }, {}
for i = 1, n do
  local a = 3 * i + 2
  codes[i], out[#out + 1] = take(i, ARGV[a], tonumber(ARGV[a + 1]), ARGV[a + 2])
end
if #hw > 0 then call('HSET', KEYS[2], unpack(hw)) end
if #bw > 0 then call('HSET', KEYS[3], unpack(bw)) end
if held ~= tonumber(c[3]) or adds ~= tonumber(c[5]) then
  call('HSET', KEYS[1], 'held', fmt('%.0f', held), 'adds', fmt('%.0f', adds))
end
out[3], out[5], out[7] = adds, left, table.concat(codes)
return out
