/**
 * The board in Redis: `machine/Board.ts` in Lua, function by function; a differential test holds the two equal. KEYS[1] is the prefix of
 * the scope with its hash tag: every key begins with it, so all of them share a slot. ARGV: the report, a random name should the
 * board be a new one, and in tests the time. Sums of evidence are kept and not scanned, so that a report costs the same in a fleet of
 * ten and of a thousand; and so are those of a pool.
 */
export const boardScript = `
local P, r, encode = KEYS[1], cjson.decode(ARGV[1]), cjson.encode
local s, call, max, min, floor, ceil, abs = r.settings, redis.call, math.max, math.min, math.floor, math.ceil, math.abs
local TTL = 3600000
local function num(x) return tonumber(x) or 0 end
local function text(x) return string.format("%.17g", x) end

-- A fleet to which no member reports is dropped after 30 days.
local function lasts(name) call("PEXPIRE", P .. name, 2592000000) end

-- steady
local t = call("TIME")
local wall = ARGV[3] and tonumber(ARGV[3]) or (num(t[1]) * 1000 + floor(num(t[2]) / 1000))
local meta = call("HMGET", P .. "meta", "inc", "rev", "born", "clock", "wall", "known", "kept")
local fresh = not meta[1]
local inc, rev = meta[1] or ARGV[2], num(meta[2])
local now = fresh and wall or (num(meta[4]) + max(0, min(s.leap, wall - num(meta[5]))))
local born = fresh and now or num(meta[3])
local member = r.member
local seq = num(call("HGET", P .. "seq", member))
local stale = r.seq <= seq
local seenAt = call("ZSCORE", P .. "m", member)
local late = seenAt and (r.acked < seq or now - num(seenAt) > r.age + 500)
local push = {}

-- beginAnew
if not fresh and r.inc == inc and seq < r.acked and r.age <= s.forget then
  inc, born = ARGV[2], now
  for _, name in ipairs(call("SMEMBERS", P .. "buckets")) do call("HSET", P .. "t:" .. name, "level", 0) end
end
local newcomer = r.inc ~= inc

-- countMembers
if not stale and not r.leaving then
  call("HSET", P .. "seq", member, r.seq)
  call("ZADD", P .. "m", text(now), member)
end
local gone = call("ZRANGEBYSCORE", P .. "m", "-inf", "(" .. text(now - s.forget))
if r.leaving then gone[#gone + 1] = member end
for _, id in ipairs(gone) do
  call("ZREM", P .. "m", id)
  call("HDEL", P .. "seq", id)
end
local remembered = call("ZCARD", P .. "m")
if remembered == 1 then
  lasts("m")
  lasts("seq")
end
local alive = call("ZCOUNT", P .. "m", text(now - s.alive), "+inf")
local known, young = num(meta[6]), now - born < s.forget
if not stale and young then known = max(known, r.known) end
local fleet = young and max(remembered, known) or remembered

-- compareSettings
local differs = 0
local described = table.concat({ s.window, s.threshold, s.minimumCalls, s.quorum, s.witnesses, s.permits, s.rate, s.burst }, " ")
local had = call("HMGET", P .. "settings", "text", "at")
if had[1] and now - num(had[2]) <= s.forget and had[1] ~= described then differs = 1
elseif not stale then call("HSET", P .. "settings", "text", described, "at", text(now)) end

-- takeWords
local function wordOf(key)
  local row = call("HGET", P .. "o", key)
  return row and cjson.decode(row)
end
for _, w in ipairs(r.words) do
  local row = wordOf(w.key)
  if not row or w.stamp > row.word.stamp or (w.stamp == row.word.stamp and w.by > row.word.by) then
    rev = rev + 1
    call("HSET", P .. "o", w.key, encode({ word = w, rev = rev, at = text(now) }))
    lasts("o")
    push[#push + 1] = { word = w }
  end
end
local words, since = {}, newcomer and 0 or r.rev
if rev > since then
  local rows = {}
  for _, row in ipairs(call("HVALS", P .. "o")) do rows[#rows + 1] = cjson.decode(row) end
  table.sort(rows, function(a, b) return a.rev < b.rev end)
  for _, row in ipairs(rows) do
    if row.rev > since then
      local w = row.word
      if w.left then w.left = w.left - (now - num(row.at)) end
      if not w.left or w.left > 0 then words[#words + 1] = w end
    end
  end
end

-- evidence, and its sums
local function bump(key, row, field, witness, by)
  local n = call("HINCRBY", P .. "w:" .. key, field .. ":" .. witness, by)
  if by > 0 and n == 1 then row[field] = row[field] + 1 end
  if by < 0 and n <= 0 then
    row[field] = row[field] - 1
    call("HDEL", P .. "w:" .. key, field .. ":" .. witness)
  end
end
local function drop(key, row, id)
  local had = call("HGET", P .. "s:" .. key, id)
  if not had then return end
  local one = cjson.decode(had)
  row.calls = row.calls - one[1]
  row.failures = row.failures - one[2]
  bump(key, row, "seen", one[5], -1)
  if one[3] == 1 then bump(key, row, "bad", one[5], -1) end
  if one[4] == 1 then bump(key, row, "votes", one[5], -1) end
  call("HDEL", P .. "s:" .. key, id)
  call("ZREM", P .. "z:" .. key, id)
end
local function tally(key, row)
  for _, id in ipairs(call("ZRANGEBYSCORE", P .. "z:" .. key, "-inf", "(" .. text(now - s.window))) do drop(key, row, id) end
end

local fields = { "generation", "phase", "until", "openings", "token", "leaseUntil", "closedAt", "openFor", "suspect", "suspectAt", "since", "calls", "failures", "bad", "votes", "seen" }
local function readRow(key)
  local found = call("HMGET", P .. "c:" .. key, unpack(fields))
  local row = { exists = found[1] ~= false }
  for i, name in ipairs(fields) do row[name] = num(found[i]) end
  local rest = call("HMGET", P .. "c:" .. key, "prober", "last", "proberWitness")
  row.prober, row.last, row.proberWitness = rest[1] or "", rest[2] or "[0,0,0,0]", rest[3] or ""
  return row
end
local function writeRow(key, row)
  local args = { "prober", row.prober, "proberWitness", row.proberWitness, "last", row.last }
  for _, name in ipairs(fields) do
    args[#args + 1] = name
    args[#args + 1] = text(row[name])
  end
  call("HSET", P .. "c:" .. key, unpack(args))
  call("PEXPIRE", P .. "c:" .. key, TTL)
  for _, kind in ipairs({ "s:", "z:", "w:" }) do call("PEXPIRE", P .. kind .. key, 120000) end
end
local function findingOf(key, row)
  if row.phase == 0 and row.exists then tally(key, row) end
  local sum = row.phase == 0 and { row.calls, row.failures, row.bad, row.seen } or cjson.decode(row.last)
  local left = row.phase == 0 and 0 or max(0, max(row["until"], row.leaseUntil) - now)
  return { key = key, generation = row.generation, phase = row.phase, left = left, openings = row.openings, suspect = row.suspect,
    calls = sum[1], failures = sum[2], bad = sum[3], seen = sum[4], prober = row.prober, proberWitness = row.proberWitness }
end

-- changeCircuit
local function change(c, row)
  local key = c.key
  local function markOpen()
    if row.phase == 0 then call("SREM", P .. "x", key) elseif call("SADD", P .. "x", key) == 1 then lasts("x") end
  end
  local function enter(phase)
    row.phase = phase
    row.generation = max(row.generation + 1, floor(now))
    row.since = now
    row.token, row.prober, row.proberWitness, row.leaseUntil, row.suspect = 0, "", "", 0, 0
    row.calls, row.failures, row.bad, row.votes, row.seen = 0, 0, 0, 0, 0
    call("DEL", P .. "s:" .. key, P .. "z:" .. key, P .. "w:" .. key)
    markOpen()
  end
  local function open()
    local streak = row.phase ~= 0 or now - row.closedAt < row.openFor
    row.openings = streak and row.openings + 1 or 1
    row.openFor = c.openFor
    enter(1)
    row["until"] = now + c.openFor
  end
  local function free(till)
    row.phase, row.prober, row.proberWitness, row["until"], row.leaseUntil = 1, "", "", till, 0
  end
  -- adopt
  if c.generation > row.generation and r.age <= s.adopt then
    row.generation, row.phase, row.openings = c.generation, c.phase, c.openings
    row["until"] = c.phase == 2 and now or now + c.left
    row.token, row.prober, row.proberWitness, row.leaseUntil = 0, "", "", c.phase == 2 and now + c.left or 0
    markOpen()
  end
  for _, name in ipairs({ key, "*" }) do
    local w = wordOf(name)
    if w and (w.word.say == "close" or w.word.say == "reset") and num(w.at) > row.since and row.phase ~= 0 then
      enter(0)
      row.closedAt, row.openings = now, 0
    end
  end
  if row.phase == 2 and now >= row.leaseUntil then free(row["until"]) end
  -- takeResult
  local res = c.result
  if res and res.generation == row.generation and row.phase ~= 0 then
    if res.ok == 1 then
      enter(0)
      row.closedAt = now
    elseif res.ok == 0 then open()
    elseif row.prober == member and row.token == res.token then free(now) end
  end
  if late then return end
  if row.phase == 0 then
    -- weigh
    local bad = (c.vote == 1 or (c.failures > 0 and c.failures / c.calls >= s.threshold)) and 1 or 0
    if c.calls > 0 or bad == 1 then
      drop(key, row, member)
      call("HSET", P .. "s:" .. key, member, encode({ c.calls, c.failures, bad, c.vote, r.witness }))
      call("ZADD", P .. "z:" .. key, text(now), member)
      row.calls = row.calls + c.calls
      row.failures = row.failures + c.failures
      bump(key, row, "seen", r.witness, 1)
      if bad == 1 then bump(key, row, "bad", r.witness, 1) end
      if c.vote == 1 then bump(key, row, "votes", r.witness, 1) end
    end
    tally(key, row)
    local rate = row.calls > 0 and row.failures / row.calls or 0
    local suspect = (row.bad > 0 or row.votes > 0 or rate >= s.threshold / 2) and 1 or 0
    if suspect == 1 and row.suspect == 0 then row.suspectAt = now end
    row.suspect = suspect
    local needed = max(s.witnesses, ceil(s.quorum * row.seen))
    local heard = row.bad >= s.quorum * alive or now - row.suspectAt >= 200
    if row.bad >= needed and heard and ((row.calls >= s.minimumCalls and rate >= s.threshold) or row.votes >= needed) then
      row.last = encode({ row.calls, row.failures, row.bad, row.seen })
      open()
    end
  elseif row.phase == 1 and now >= row["until"] and c.wants == 1 and not r.leaving then
    row.phase, row.prober, row.proberWitness = 2, member, r.witness
    row.token = max(row.token + 1, floor(now))
    row.leaseUntil = now + s.probeLease
  end
end

-- takeCircuit
local circuits, told = {}, {}
for _, c in ipairs(r.circuits) do
  local row = readRow(c.key)
  if not stale then
    local generation, phase, till, suspect, prober = row.generation, row.phase, row["until"], row.suspect, row.prober
    change(c, row)
    row.exists = true
    if generation ~= row.generation or phase ~= row.phase or till ~= row["until"] or suspect ~= row.suspect or prober ~= row.prober then
      push[#push + 1] = { finding = findingOf(c.key, row) }
    end
  end
  local finding = findingOf(c.key, row)
  if row.exists then writeRow(c.key, row) end
  finding.token = (row.phase == 2 and row.prober == member) and row.token or 0
  circuits[#circuits + 1] = finding
  told[c.key] = true
end

-- openCircuits
if newcomer then
  local n = 0
  for _, key in ipairs(call("SMEMBERS", P .. "x")) do
    if not told[key] and n < 100 then
      local row = readRow(key)
      n = n + 1
      if row.exists then
        local finding = findingOf(key, row)
        finding.token = 0
        circuits[#circuits + 1] = finding
      else call("SREM", P .. "x", key) end
    end
  end
end

-- takeBucket
local buckets = {}
for _, b in ipairs(r.buckets) do
  local f = call("HMGET", P .. "t:" .. b.name, "level", "at")
  local at = f[2] and num(f[2]) or now
  local present = fleet == 0 and 1 or alive / fleet
  local level = min(b.burst, num(f[1]) + max(0, now - at) * b.rate * present / 1000)
  local tokens = (stale or r.leaving) and 0 or min(b.want, floor(level))
  call("HSET", P .. "t:" .. b.name, "level", text(level - tokens), "at", text(now))
  call("PEXPIRE", P .. "t:" .. b.name, TTL)
  if call("SADD", P .. "buckets", b.name) == 1 then lasts("buckets") end
  buckets[#buckets + 1] = { name = b.name, tokens = tokens, share = b.rate / max(1, fleet) }
end

-- holdingsOfOthers, in sums: l holds the leases by their end, d what is kept for members that are away by their last report
local function takePool(p, kind)
  local H, L, D, S = P .. kind .. "p:" .. p.name, P .. kind .. "l:" .. p.name, P .. kind .. "d:" .. p.name, P .. kind .. "v:" .. p.name
  local had = call("HMGET", S, "reserved", "wanting", "active", "away")
  local reserved, wanting, active, away = num(had[1]), num(had[2]), num(had[3]), num(had[4])
  local function count(row, by)
    reserved = reserved + by * max(row[1], row[2])
    wanting = wanting + by * max(row[3], row[2])
    if row[2] > 0 or row[3] > 0 then active = active + by end
  end
  local function rowOf(id) return cjson.decode(call("HGET", H, id)) end
  for _, id in ipairs(call("ZRANGEBYSCORE", L, "-inf", text(now))) do
    local row = rowOf(id)
    count(row, -1)
    away = away + row[2]
    call("ZREM", L, id)
    call("ZADD", D, row[4], id)
  end
  for _, id in ipairs(call("ZRANGEBYSCORE", D, "-inf", "(" .. text(now - s.forget))) do
    if id ~= member then
      away = away - rowOf(id)[2]
      call("ZREM", D, id)
      call("HDEL", H, id)
    end
  end
  local before = call("HGET", H, member)
  if before then
    if call("ZREM", L, member) == 1 then count(cjson.decode(before), -1) end
    if call("ZREM", D, member) == 1 then away = away - cjson.decode(before)[2] end
    call("HDEL", H, member)
  end
  -- takePool
  local free = max(0, p.cap - reserved - away)
  local actives = max(1, active + (p.want > 0 and 1 or 0))
  local learning = now - born < p.lease + s.leap
  local asked = learning and min(p.want, p.have) or p.want
  local left = max(0, p.cap - away)
  local target = wanting + p.want > left and max(floor(left / actives), left - wanting) or p.cap
  local granted = max(min(asked, free, target), min(p.have, p.want), r.leaving and p.have or 0)
  local kept = (p.want > 0 and not learning) and min(floor(p.cap * 0.5 / actives), free) or 0
  if kind == "r" then kept = min(kept, granted) end
  local row = { granted, r.leaving and 0 or max(kept, p.safe), p.want, text(now) }
  if granted > 0 or row[2] > 0 or p.want > 0 then
    call("HSET", H, member, encode(row))
    call("ZADD", L, text(now + p.lease + s.leap), member)
    count(row, 1)
  end
  call("HSET", S, "reserved", text(reserved), "wanting", text(wanting), "active", active, "away", text(away))
  for _, key in ipairs({ H, L, D, S }) do call("PEXPIRE", key, TTL) end
  local news = { name = p.name, granted = granted, safe = kept, target = target, learning = learning and 1 or 0 }
  return news, max(0, free - max(granted, row[2]))
end

-- takeRate
local function savedUp(burst, rate, cap) return max(1, burst * rate / cap) end
local function takeRate(p)
  local key = P .. "b:" .. p.name
  local f = call("HMGET", key, "level", "free", "at", "born")
  local news, free = takePool(p, "r")
  local level = 0
  if f[1] and num(f[4]) == born then
    level = min(savedUp(p.burst, num(f[2]), p.cap), num(f[1]) + max(0, now - num(f[3])) * num(f[2]) / 1000000000)
  end
  if news.learning == 1 then level = 0 end
  local missing = savedUp(p.burst, news.granted, p.cap) - p.tokens
  news.tokens = (p.want > 0 and not r.leaving) and max(0, min(level, missing)) or 0
  level = min(savedUp(p.burst, free, p.cap), level - news.tokens)
  call("HSET", key, "level", text(level), "free", text(free), "at", text(now), "born", text(born))
  call("PEXPIRE", key, TTL)
  return news
end
local pools, rates = {}, {}
if not stale then
  for _, p in ipairs(r.pools) do pools[#pools + 1] = takePool(p, "") end
  for _, p in ipairs(r.rates) do rates[#rates + 1] = takeRate(p) end
end

local kept = num(meta[7])
local keep = abs(now - kept) > TTL
call("HSET", P .. "meta", "kept", text(keep and now or kept), "inc", inc, "rev", rev, "born", text(born), "clock", text(now), "wall", text(wall), "known", known)
if keep then
  for _, name in ipairs({ "meta", "m", "seq", "o", "x", "buckets", "settings" }) do lasts(name) end
end
if #push > 0 then call("PUBLISH", P .. "news", encode({ from = member, lines = push })) end
local function list(x) return #x == 0 and "[]" or encode(x) end
return '{"inc":' .. encode(inc) .. ',"rev":' .. rev .. ',"members":' .. alive .. ',"fleet":' .. fleet .. ',"differs":' .. differs ..
  ',"circuits":' .. list(circuits) .. ',"words":' .. list(words) .. ',"buckets":' .. list(buckets) ..
  ',"pools":' .. list(pools) .. ',"rates":' .. list(rates) .. '}'
`
