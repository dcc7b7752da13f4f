-- Purpose: takes holds for a batch of orders on one cell; equals its single calls in order.
-- Keys:    c h b0 b1 d0 d1 (one hash tag)
-- Args:    limit (units, 0 = none), deadline, opens, closes (Redis ms, 0 = none), then per item:
--          key (12 B), id (16 B), flags (state, checked, relay: 3 B),
--          mid (qty %010d, '-', nonce 16 hex, buyer length %03d), buyer, hash (< 2^46), payload
-- Returns: {now ms, -1} when the cell is missing, else {now, W, adds, inc, available} and per
--          item {id, code, extra}: 0 NEW t | 1 HELD value | 2 VERDICT kind | 3 FENCED
--          | 4 CONFLICT content | 5 LATE | 6 RETURNING | 7 NOT_OPEN | with 1 for '+':
--          8 CLOSED | 9 PAUSED | 10 LIMIT | 11 SOLDOUT
-- Writes:  h (new, shared and touched holds), b0, c.held, c.adds
-- Idempotence: the same nonce gets NEW again and rewrites the same value.
-- Cost:    O(items), at most 11 calls. A value of h: state, content 4, t 13, qty 10, '-' or '+',
--          nonce 16, buyer length 3, buyer, payload. An F entry lies under the whole id.
if #KEYS ~= 6 or #ARGV < 11 or (#ARGV - 4) % 7 ~= 0 then
  return redis.error_reply('ERR reserve: arity')
end
local call, sub, fmt = redis.call, string.sub, string.format
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local c = call('HMGET', KEYS[1], 'supply', 'net', 'held', 'W', 'adds', 'inc', 'open', 'lim')
if not c[4] then return { now, -1 } end
local limit, deadline = tonumber(ARGV[1]), tonumber(ARGV[2])
local opens, closes = tonumber(ARGV[3]), tonumber(ARGV[4])
local held, adds, open, limited = tonumber(c[3]), tonumber(c[5]), c[7], c[8] == '1'
local left = c[1] - c[2] - held
if limit > 0 and not limited then
  return redis.error_reply('ERR reserve: a limit on a cell that was loaded without one')
end
local hf, df, bf, n = {}, {}, {}, 0
for a = 5, #ARGV, 7 do
  n = n + 1
  hf[2 * n - 1], hf[2 * n] = ARGV[a], ARGV[a + 1]
  df[n], bf[n] = ARGV[a], ARGV[a + 4]
end
local hv = call('HMGET', KEYS[2], unpack(hf))
local d0, d1 = call('HMGET', KEYS[5], unpack(df)), call('HMGET', KEYS[6], unpack(df))
local b0 = call('HMGET', KEYS[3], unpack(bf))
local b1 = limited and {} or call('HMGET', KEYS[4], unpack(bf))
local t13 = fmt('%013.0f', now)
local H, B, hw, bw, text = {}, {}, {}, {}, {}
local letter = { [76] = 'L', [83] = 'S', [84] = 'T' }

local function put(key, v)
  H[key], hw[#hw + 1], hw[#hw + 2] = v, key, v
end

-- What h and d know of the item: code and extra, or nothing.
local function seen(i, a, state)
  local key = ARGV[a]
  if state == 83 and hv[2 * i] then return 3, 0 end
  local v = H[key] or hv[2 * i - 1]
  if v then
    if sub(v, 2, 5) ~= sub(ARGV[a + 1], 13) or sub(v, 49, 48 + sub(v, 46, 48)) ~= ARGV[a + 4] then
      return 4, sub(v, 2, 5)
    end
    local nonce = sub(ARGV[a + 3], 11, 27)
    if sub(v, 29, 45) == nonce then
      put(key, v)
      return 0, tonumber(sub(v, 6, 18))
    end
    v = sub(v, 1, 28) .. '+' .. sub(nonce, 2) .. sub(v, 46)
    put(key, v)
    return 1, v
  end
  local d = d0[i] or d1[i]
  if not d then return end
  if sub(d, 1, 4) ~= sub(ARGV[a + 1], 13) then return 4, sub(d, 1, 4) end
  return 2, sub(d, 5, 5)
end

-- The buyer's units (nil = no field in b).
local function units(i, buyer)
  return B[buyer] or (b0[i] and tonumber(b0[i])) or (b1[i] and 0) or nil
end

-- The refusal of a new hold: code and extra, or nothing. Bytes 49 = '1', 84 = 'T'.
local function refuse(has, qty, state, checked, relay)
  local plus = has and 1 or 0
  if state ~= 84 and relay ~= 49 then
    if opens > 0 and now < opens then return 7, 0 end
    if open == '0' or (closes > 0 and now >= closes) then return 8, plus end
    if open ~= '1' then return 9, plus end
    if has and checked ~= 49 then return 6, 0 end
  end
  if state ~= 84 and limit > 0 and (has or 0) + qty > limit then return 10, plus end
  if left < qty then return 11, plus end
end

local function take(i, a)
  local state, checked, relay = string.byte(ARGV[a + 2], 1, 3)
  if state ~= 84 and deadline > 0 and now > deadline then return 5, 0 end
  local code, extra = seen(i, a, state)
  if code then return code, extra end
  local buyer, mid, qty = ARGV[a + 4], ARGV[a + 3], tonumber(sub(ARGV[a + 3], 1, 10))
  local has = state ~= 84 and units(i, buyer) or nil
  code, extra = refuse(has, qty, state, checked, relay)
  if code then return code, extra end
  held, left = held + qty, left - qty
  put(ARGV[a], letter[state] .. sub(ARGV[a + 1], 13) .. t13 .. mid .. buyer .. ARGV[a + 6])
  if state ~= 84 then
    if not has then adds = (adds + ARGV[a + 5]) % 70368744177664 end
    local sum = limited and (has or 0) + qty or 0
    text[sum] = text[sum] or fmt('%.0f', sum)
    B[buyer], bw[#bw + 1], bw[#bw + 2] = sum, buyer, text[sum]
  end
  return 0, now
end

local out = { now, tonumber(c[4]), 0, tonumber(c[6]), 0 }
for i = 1, n do
  local a, at = 7 * i - 2, 3 * i + 2
  out[at + 1], out[at + 2], out[at + 3] = ARGV[a + 1], take(i, a)
end
if #hw > 0 then call('HSET', KEYS[2], unpack(hw)) end
if #bw > 0 then call('HSET', KEYS[3], unpack(bw)) end
if held ~= tonumber(c[3]) or adds ~= tonumber(c[5]) then
  call('HSET', KEYS[1], 'held', fmt('%.0f', held), 'adds', fmt('%.0f', adds))
end
out[3], out[5] = adds, left
return out
