-- Goes through all tokens in strides, so that neighbours in the file do not follow each other.
local requests, at = {}, 0

function init(arguments)
  for token in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("GET", nil, {
      Host = wrk.headers["Host"],
      Authorization = "Bearer " .. token,
    })
  end
end

function request()
  at = (at + 7919) % #requests
  return requests[at + 1]
end

function done(summary, latency)
  local errors = summary.errors
  local bad = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  print(string.format("FIGURES %d %d %d %d %d", summary.requests, summary.duration, bad,
    latency:percentile(50), latency:percentile(99)))
end
