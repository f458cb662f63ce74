-- name: put
INSERT INTO feedback (turn, author, value, at) VALUES (:turn, :author, :value, :now)
ON CONFLICT (turn, author) DO UPDATE SET value = excluded.value, at = excluded.at

-- name: of
SELECT author, value, at FROM feedback WHERE turn = :turn ORDER BY author
