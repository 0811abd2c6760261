-- Sends the bodies of a file one after the other, each made different by its number so that none was asked before.
local bodies, count, refused = {}, 0, 0
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end

request = function()
  count = count + 1
  local body = string.gsub(bodies[count % #bodies + 1], "@@", os.getenv("ROUND") .. "-" .. count, 1)
  return wrk.format("POST", os.getenv("ADDRESS"), {["content-type"] = "application/json"}, body)
end

done = function(summary, latency)
  local errors = summary.errors
  print(string.format("RESULT %d %d %d %.3f %.3f", summary.requests, summary.duration,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
