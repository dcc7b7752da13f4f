-- Purpose: deletes a cell that is still as seen, so that it can be rebuilt.
-- Keys:    c h b0 b1 d0 d1 (one hash tag)
-- Args:    inc, W, tok (as the caller saw them), fork (1 = holds may be lost)
-- Returns: {0} OK | {1} CHANGED (other values, or holds without fork) | {3} MISSING
-- Writes:  unlinks all keys of the cell
-- Idempotence: a repeat answers MISSING; a cell that was loaded again has another inc.
-- Cost:    O(1) in this thread, at most 3 calls.
if #KEYS ~= 6 or #ARGV ~= 4 then
  return redis.error_reply('ERR drop: arity')
end
local call = redis.call
local c = call('HMGET', KEYS[1], 'inc', 'W', 'tok')
if not c[2] then return { 3 } end
if c[1] ~= ARGV[1] or c[2] ~= ARGV[2] or c[3] ~= ARGV[3] then return { 1 } end
if ARGV[4] ~= '1' and call('HLEN', KEYS[2]) > 0 then return { 1 } end
call('UNLINK', unpack(KEYS))
return { 0 }
