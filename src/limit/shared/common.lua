-- What the scripts have in common. All times are microseconds: whole numbers below 2^53, which is
-- what a Lua number holds exactly.
--
-- A key's value is a line of words: its life, 1 if anything was given back in that life (else 0),
-- its generation, then period and time of each quota. A time that has passed is as good as none.

local SPARE = 1000 -- milliseconds that a key outlives its rest

local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local now = clock()
local keys, arguments = 0, 0

local function key()
  keys = keys + 1
  return KEYS[keys]
end

local function argument()
  arguments = arguments + 1
  return ARGV[arguments]
end

local function number()
  return tonumber(argument())
end

local function read(name)
  local text = redis.call('GET', name)
  if not text then
    return nil
  end
  local words = {}
  for word in string.gmatch(text, '%S+') do
    words[#words + 1] = word
  end
  local entry = { life = words[1], given = words[2], generation = words[3], periods = {}, times = {} }
  for n = 4, #words - 1, 2 do
    entry.periods[#entry.periods + 1] = tonumber(words[n])
    entry.times[#entry.times + 1] = tonumber(words[n + 1])
  end
  return entry
end

local function write(name, entry)
  local words, last = { entry.life, entry.given, entry.generation }, now
  for n, time in ipairs(entry.times) do
    words[#words + 1] = string.format('%.0f %.0f', entry.periods[n], time)
    last = math.max(last, time)
  end
  if last == now then
    redis.call('DEL', name)
  else
    local live = math.ceil((last - now) / 1000) + SPARE
    redis.call('SET', name, table.concat(words, ' '), 'PX', string.format('%.0f', live))
  end
end

-- The quotas that come next in the arguments.
local function quotas()
  local list = {}
  for n = 1, number() do
    list[n] = { period = number(), interval = number(), full = number() }
  end
  return list
end

-- A key's time for a quota: the one with its period, else (quotas may change while they count)
-- with the nearest. Never more than the quota can have, also if the clock was put back; it is said
-- then that the entry has to be written, or the time would keep its distance from now.
local function time_of(entry, quota)
  local nearest, time
  for n, period in ipairs(entry.periods) do
    local distance = math.abs(period - quota.period)
    if not nearest or distance < nearest then
      nearest, time = distance, entry.times[n]
    end
  end
  local most = now + quota.full
  if (time or 0) > most then
    entry.stale = true
    return most
  end
  return time or 0
end

-- What is counted under a name, for these quotas; nil at rest. A key of an earlier generation
-- than the present one was forgiven.
local function counted(name, generation, list)
  local entry = read(name)
  if not entry or (generation and entry.generation ~= generation) then
    return nil
  end
  local periods, times, rests = {}, {}, true
  for n, quota in ipairs(list) do
    periods[n], times[n] = quota.period, time_of(entry, quota)
    rests = rests and times[n] <= now
  end
  entry.periods, entry.times = periods, times
  return not rests and entry or nil
end
