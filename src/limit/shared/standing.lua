-- What is counted under one key. Arguments: quotas as for a charge. Answer: now, and its times.

local list = quotas()
local entry = counted(key(), false, list)
local answer = { now }
for n = 1, #list do
  answer[n + 1] = entry and entry.times[n] or 0
end
return answer
