-- Takes an attempt back from each of some limits, as far as it still weighs.
--
-- Keys: one that is this call's alone, then one a limit. Arguments: for how many milliseconds the
-- call is remembered; when it was charged; for each limit the key's life then, how many quotas, and
-- of each the period, the weight of one attempt, and the time right after the charge.

-- a client that lost the answer asks again, which would take back what others were charged
if not redis.call('SET', key(), 1, 'NX', 'PX', argument()) then
  return {}
end
local at = number()
while keys < #KEYS do
  local name, life = key(), argument()
  local afters = {}
  for _ = 1, number() do
    local period = number()
    afters[period] = { interval = number(), time = number() }
  end
  local entry = read(name)
  if entry and entry.life == life then
    -- the last to come and the first to go leaves no trace
    local last = true
    for n, period in ipairs(entry.periods) do
      last = last and afters[period] ~= nil and afters[period].time == entry.times[n]
    end
    for n, period in ipairs(entry.periods) do
      local after = afters[period]
      if after then
        -- what is sure to weigh still: see the memory store's arithmetic
        local sure = entry.given == '0' and after.time or at + after.interval
        entry.times[n] = entry.times[n] - math.min(after.interval, math.max(sure - now, 0))
      end
    end
    entry.given = last and entry.given or '1'
    write(name, entry)
  end
end
return {}
