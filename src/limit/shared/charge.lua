-- Charges one attempt to all of some limits, or to none.
--
-- Keys: that of the pause, if any; for each limit its key, then that of its generation, if any.
-- Arguments: what a new life is called; whether there is a pause ('', 'observe', 'enforce'); for
-- each limit 'observe' or 'enforce', 1 if a pause stands in for it, 1 if it has a generation, how
-- many quotas, and of each the period, the weight of one attempt, the weight of all.
-- Answer: now; how long a pause still lasts (ms); how long the refused has to wait; for each limit
-- up to the one that refused what it says (0 not asked, 1 yes, 2 no but it observes, 3 no), the
-- key's life, and its times.

local new_life, pause = argument(), argument()
local answer = { now, 0, 0 }
if pause ~= '' then
  answer[2] = math.max(redis.call('PTTL', key()), 0)
end
if answer[2] > 0 and pause == 'enforce' then
  return answer
end

local charged = {}
while keys < #KEYS do
  local name, mode, skip = key(), argument(), argument() == '1' and answer[2] > 0
  local generation = argument() == '1' and redis.call('GET', key())
  local list = quotas()
  local entry = counted(name, generation, list)
  local before = entry and entry.times or {}
  local after, wait, periods = {}, 0, {}
  if entry and entry.stale then
    write(name, entry)
  end
  for n, quota in ipairs(list) do
    after[n] = math.max(before[n] or 0, now) + quota.interval
    wait = math.max(wait, after[n] - now - quota.full)
    periods[n] = quota.period
  end
  local said
  if skip then
    said = 0
  elseif wait == 0 then
    said = 1
  else
    said = mode == 'observe' and 2 or 3
  end
  entry = entry or { life = new_life, given = '0' }
  answer[#answer + 1] = said
  answer[#answer + 1] = tonumber(entry.life)
  for n = 1, #list do
    answer[#answer + 1] = said == 1 and after[n] or before[n] or 0
  end
  if said == 3 then
    answer[3] = wait
    return answer
  elseif said == 1 then
    entry.generation = generation or entry.generation or '0'
    entry.periods, entry.times = periods, after
    charged[#charged + 1] = { name, entry }
  end
end
for _, one in ipairs(charged) do
  write(one[1], one[2])
end
return answer
