-- name: get
SELECT value FROM memory WHERE key = :key

-- name: put
INSERT INTO memory (key, value) VALUES (:key, :value)
ON CONFLICT (key) DO UPDATE SET value = excluded.value
