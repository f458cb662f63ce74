-- name: put
INSERT INTO feedback (turn, author, value, at) VALUES (:turn, :author, :value, :now)
ON CONFLICT (turn, author) DO UPDATE SET value = excluded.value, at = excluded.at
