-- Greets with the interpreter that was built in the stage before.
local primes, n = {}, 2
while #primes < 10 do
  local prime = true
  for _, p in ipairs(primes) do prime = prime and n % p ~= 0 end
  if prime then primes[#primes + 1] = n end
  n = n + 1
end
print(("Hello, %s, from %s: %s"):format(os.getenv("NAME") or "you", _VERSION, table.concat(primes, " ")))
